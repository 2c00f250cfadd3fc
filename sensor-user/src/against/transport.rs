//! The way to a server. A server that is started with pipes is one ([`super::Stdio`]); one behind a URL would be another.

use std::time::Instant;

/// What came from a server.
#[derive(Debug)]
pub enum Received {
    /// A message, or what stands in the place of one. Not checked.
    Line(Vec<u8>),
    /// A message that is too long; it has been thrown away.
    TooLong,
    /// Nothing, until the time that was given, or a signal came.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

/// A message cannot be sent: the server is gone, or has not read for too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unsent;

/// How a server ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ended {
    /// How, in words: `exited with 1`. Empty where it ended because it was told to.
    pub how: String,
    /// The end of what it wrote to its standard error. Not checked.
    pub complaints: String,
}

/// The way to a server.
///
/// Nothing here waits but [`receive`](Self::receive), and that not longer than it is told to.
pub trait Transport {
    /// Sends a message: JSON text without a line end.
    ///
    /// # Errors
    /// Where it cannot be sent any more.
    fn send(&mut self, message: &str) -> Result<(), Unsent>;

    /// The next that comes, waited for until then.
    fn receive(&mut self, until: Instant) -> Received;

    /// Tells the server that nothing is sent any more. Its last words can still be received.
    fn close(&mut self);

    /// Ends the server, whatever it does. What it would still have said is lost.
    fn end(&mut self) -> Ended;
}
