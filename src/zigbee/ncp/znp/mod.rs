//! Z-Stack sticks (CC2652 and CC2531 families), spoken to by TI's Monitor and Test (MT) commands. Sans-IO.

pub mod mt;
