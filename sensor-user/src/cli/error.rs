//! How an error reaches the person at the terminal: see [`present::failure`].

pub use present::failure::Failure;

/// Makes a panic one readable line. Call it once, first.
pub fn install_panic_hook() {
    present::failure::install_panic_hook("mcp-sensor");
}
