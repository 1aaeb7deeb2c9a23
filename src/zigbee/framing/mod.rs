//! How the bytes of a serial line are cut into frames, one file a framing. Knows nothing of what the frames say.

pub mod unpi;
