//! How the program ends.

pub use present::failure::Exit;
