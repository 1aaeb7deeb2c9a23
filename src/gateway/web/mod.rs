//! The page: files embedded in the program, so that a hub needs nothing beside its binary and nobody else's server. Each file
//! is a route of its own; no directory is read while the hub runs.

/// Path, media type, content.
pub type Asset = (&'static str, &'static str, &'static [u8]);

pub const ASSETS: &[Asset] = &[
    ("/", "text/html; charset=utf-8", include_bytes!("index.html")),
    // The same page: what the QR code of a new hub leads to, with the code behind a `#`, which no browser sends.
    ("/claim", "text/html; charset=utf-8", include_bytes!("index.html")),
    ("/app.js", JAVASCRIPT, include_bytes!("app.js")),
    ("/door.js", JAVASCRIPT, include_bytes!("door.js")),
    ("/protocol.js", JAVASCRIPT, include_bytes!("protocol.js")),
    ("/streams.js", JAVASCRIPT, include_bytes!("streams.js")),
    ("/answer.js", JAVASCRIPT, include_bytes!("answer.js")),
    ("/pictures.js", JAVASCRIPT, include_bytes!("pictures.js")),
    ("/speech.js", JAVASCRIPT, include_bytes!("speech.js")),
    ("/history.js", JAVASCRIPT, include_bytes!("history.js")),
    ("/house.js", JAVASCRIPT, include_bytes!("house.js")),
    ("/look.js", JAVASCRIPT, include_bytes!("look.js")),
    ("/pairing.js", JAVASCRIPT, include_bytes!("pairing.js")),
    ("/calls.js", JAVASCRIPT, include_bytes!("calls.js")),
    ("/attachments.js", JAVASCRIPT, include_bytes!("attachments.js")),
    ("/markdown.js", JAVASCRIPT, include_bytes!("markdown.js")),
    ("/errors.js", JAVASCRIPT, include_bytes!("errors.js")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("style.css")),
    ("/icon.svg", "image/svg+xml", include_bytes!("icon.svg")),
];

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
