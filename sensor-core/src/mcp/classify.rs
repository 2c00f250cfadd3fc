//! The evidence of a whole stream, until it is known to be MCP or known not to be.
//!
//! Biases, in the order in which they win:
//!
//! * One strong message makes a stream MCP; two where the stream has LSP-like header lines, because an LSP body could
//!   quote one shape but no such protocol has two.
//! * A stream that has shown weak evidence is never given up for noise, only for its age.
//! * Two messages of another protocol, many JSON values that are no JSON-RPC 2.0, or a few KiB of other text are "not MCP".
//!   A server may print that much before it answers: whoever asks must first make sure that the stream is not the
//!   answer side of a session (see `engine::bind`).
//! * Binary bytes are "not MCP" at once. A peer could hide behind a binary prefix from a stream's first chunk until the
//!   kernel probes the stream again; capturing every binary stream of a host instead would cost the host too much.

use super::Role;
use super::evidence::{Evidence, Protocol};

/// Bytes of other text that make a stream "not MCP", where it has shown no JSON-RPC.
pub const NOISE_BYTES: u64 = 4 * 1024;
/// Pieces of other text that do.
pub const NOISE_PIECES: u32 = 64;
/// The same, where it has.
pub const NOISE_BYTES_BESIDE_RPC: u64 = 64 * 1024;
/// JSON values that are no JSON-RPC 2.0 message that do.
pub const OTHER_VALUES: u32 = 8;
/// JSON-RPC 2.0 messages that say nothing that do.
pub const NEUTRAL_MESSAGES: u32 = 64;
/// Messages of another protocol that do.
const FOREIGN_MESSAGES: u8 = 2;
/// Weight of weak evidence, of two kinds at least, that makes a stream MCP.
const WEAK_ENOUGH: u32 = 3;
/// Bytes at the beginning that are looked at for binary data and header lines.
const SNIFFED: u64 = 16 * 1024;

/// What a stream is taken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Not known yet.
    Unsure,
    /// MCP; its writer plays this part.
    Mcp(Role),
    /// The Agent Client Protocol, which can carry MCP; its writer plays this part in it.
    AgentClient(Role),
    /// Something else.
    Other(Reason),
}

/// Why a stream is not MCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// Binary data.
    Binary,
    /// Text that is no JSON.
    Text,
    /// JSON that is no JSON-RPC 2.0.
    OtherJson,
    /// JSON-RPC 2.0, but nothing of MCP.
    OtherRpc,
    /// Requests and their answers in one direction: a log of a session, shown or copied.
    Log,
}

/// The evidence so far.
#[derive(Clone, Debug, Default)]
pub struct Classifier {
    strong: u8,
    weak_kinds: u16,
    weak_weight: u8,
    foreign: u8,
    agent_client: u8,
    headers: bool,
    binary: bool,
    client_votes: u16,
    server_votes: u16,
    role: Option<Role>,
    rpc: u32,
    other_values: u32,
    noise_pieces: u32,
    noise_bytes: u64,
    sniffed: u64,
}

impl Classifier {
    /// Looks at raw bytes, before they are framed.
    pub fn sniff(&mut self, bytes: &[u8]) {
        if self.sniffed >= SNIFFED {
            return;
        }
        self.binary |= is_binary(bytes);
        if !self.headers {
            self.headers = has_header(bytes);
        }
        self.sniffed += bytes.len() as u64;
    }

    /// Takes text that is no JSON into account.
    pub fn noise(&mut self, bytes: u64) {
        self.noise_pieces = self.noise_pieces.saturating_add(1);
        self.noise_bytes = self.noise_bytes.saturating_add(bytes);
    }

    /// Takes a JSON value that is no message into account.
    pub fn other_value(&mut self) {
        self.other_values = self.other_values.saturating_add(1);
    }

    /// Takes a message into account.
    pub fn message(&mut self, evidence: Evidence) {
        match evidence {
            Evidence::Strong(role) => {
                self.strong = self.strong.saturating_add(1);
                if let Some(role) = role {
                    self.vote(role);
                }
            }
            Evidence::Weak { weight, kind, sender } => {
                if self.weak_kinds & kind == 0 {
                    self.weak_kinds |= kind;
                    self.weak_weight = self.weak_weight.saturating_add(weight);
                }
                if let Some(role) = sender {
                    self.vote(role);
                }
            }
            Evidence::Neutral => {}
            Evidence::Against(Protocol::NoVersion) => {
                self.other_values = self.other_values.saturating_add(1);
                return;
            }
            Evidence::Against(protocol) => {
                self.foreign = self.foreign.saturating_add(1);
                if protocol == Protocol::AgentClient {
                    self.agent_client = self.agent_client.saturating_add(1);
                }
            }
        }
        self.rpc = self.rpc.saturating_add(1);
    }

    fn vote(&mut self, role: Role) {
        self.role.get_or_insert(role);
        let votes = match role {
            Role::Client => &mut self.client_votes,
            Role::Server => &mut self.server_votes,
        };
        *votes = votes.saturating_add(1);
    }

    /// Takes what a message of the Agent Client Protocol tells of its sender's part into account.
    pub fn agent_role(&mut self, role: Role) {
        self.role.get_or_insert(role);
    }

    /// What the stream is taken for.
    #[must_use]
    pub fn decide(&self) -> Decision {
        let needed = if self.headers { 2 } else { 1 };
        let suspected = self.weak_weight > 0 || self.strong > 0;
        let weak_enough = u32::from(self.weak_weight) >= WEAK_ENOUGH && self.weak_kinds.count_ones() >= 2 && self.foreign == 0;
        if self.strong >= needed || (weak_enough && !self.headers) {
            return Decision::Mcp(self.role.unwrap_or(Role::Client));
        }
        if self.agent_client > 0 {
            return Decision::AgentClient(self.role.unwrap_or(Role::Client));
        }
        if self.foreign >= FOREIGN_MESSAGES {
            return Decision::Other(Reason::OtherRpc);
        }
        if suspected {
            return Decision::Unsure;
        }
        if self.binary && self.rpc == 0 {
            return Decision::Other(Reason::Binary);
        }
        if self.other_values >= OTHER_VALUES {
            return Decision::Other(Reason::OtherJson);
        }
        if self.rpc >= NEUTRAL_MESSAGES {
            return Decision::Other(Reason::OtherRpc);
        }
        let noise_bytes = if self.rpc == 0 { NOISE_BYTES } else { NOISE_BYTES_BESIDE_RPC };
        if self.noise_bytes >= noise_bytes || (self.rpc == 0 && self.noise_pieces >= NOISE_PIECES) {
            return Decision::Other(Reason::Text);
        }
        Decision::Unsure
    }

    /// The part that the writer has shown to play.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        self.role
    }

    /// True where one stream carries what only clients and what only servers send.
    #[must_use]
    pub const fn is_mixed(&self) -> bool {
        self.client_votes > 0 && self.server_votes > 0
    }

    /// True where other text stood beside its messages.
    #[must_use]
    pub const fn has_noise(&self) -> bool {
        self.noise_pieces > 0
    }

    /// JSON-RPC 2.0 messages seen.
    #[must_use]
    pub const fn rpc(&self) -> u32 {
        self.rpc
    }

    /// True where something spoke for MCP, though not enough.
    #[must_use]
    pub const fn is_suspected(&self) -> bool {
        self.weak_weight > 0 || self.strong > 0
    }
}

/// True for bytes with more control characters than any text has. One NUL a message (varlink, CDP pipes) is not enough.
fn is_binary(bytes: &[u8]) -> bool {
    let sample = bytes.get(..512).unwrap_or(bytes);
    let control = sample.iter().filter(|&&byte| (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b)) || byte == 0x7f).count();
    sample.len() >= 16 && control * 16 > sample.len()
}

/// True where `Content-Length: 123` and a line end stand at the beginning of a line, or right behind a value (LSP puts no
/// line end there). In a JSON string the line end would be escaped, so quoted text does not match.
fn has_header(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"Content-Length:";
    memchr::memmem::find_iter(bytes, NAME).any(|at| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let at_line = before.is_none_or(|byte| matches!(byte, b'\n' | b'\r' | b'}'));
        let rest = bytes.get(at + NAME.len()..).unwrap_or_default().trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        at_line && digits > 0 && rest.get(digits).is_none_or(|byte| matches!(byte, b'\r' | b'\n'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(evidence: &[Evidence]) -> Decision {
        let mut classifier = Classifier::default();
        for &evidence in evidence {
            classifier.message(evidence);
        }
        classifier.decide()
    }

    #[test]
    fn one_strong_message_is_enough_and_one_foreign_one_does_not_hide_it() {
        let strong = Evidence::Strong(Some(Role::Client));
        let foreign = Evidence::Against(Protocol::LanguageServer);
        assert_eq!(weighed(&[strong]), Decision::Mcp(Role::Client));
        assert_eq!(weighed(&[foreign, strong]), Decision::Mcp(Role::Client));
        assert_eq!(weighed(&[foreign]), Decision::Unsure);
        assert_eq!(weighed(&[foreign, foreign]), Decision::Other(Reason::OtherRpc));
    }

    #[test]
    fn weak_evidence_of_one_kind_confirms_nothing_but_keeps_the_stream() {
        let weak = Evidence::Weak { weight: 1, kind: 1, sender: None };
        assert_eq!(weighed(&[weak; 100]), Decision::Unsure);
        let other = Evidence::Weak { weight: 2, kind: 2, sender: Some(Role::Server) };
        assert_eq!(weighed(&[weak, other]), Decision::Mcp(Role::Server));
    }

    #[test]
    fn header_lines_are_told_from_quoted_ones() {
        assert!(has_header(b"Content-Length: 52\r\n\r\n{"));
        assert!(has_header(b"{\"a\":1}Content-Length: 52\r\n\r\n{"));
        assert!(has_header(b"Content-Type: x\r\nContent-Length: 52\r\n"));
        assert!(!has_header(br#"{"text":"\nContent-Length: 52\r\n"}"#));
        assert!(!has_header(b"the Content-Length: header"));
    }

    #[test]
    fn with_header_lines_one_strong_message_is_not_enough() {
        let mut classifier = Classifier::default();
        classifier.sniff(b"Content-Length: 52\r\n\r\n");
        classifier.message(Evidence::Strong(Some(Role::Client)));
        assert_eq!(classifier.decide(), Decision::Unsure);
        classifier.message(Evidence::Strong(Some(Role::Client)));
        assert_eq!(classifier.decide(), Decision::Mcp(Role::Client));
    }

    #[test]
    fn binary_is_not_mcp_at_once_and_json_with_one_nul_is_not_binary() {
        let mut classifier = Classifier::default();
        classifier.sniff(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0, 1, 2, 3]);
        assert_eq!(classifier.decide(), Decision::Other(Reason::Binary));
        assert!(!is_binary(b"{\"method\":\"org.varlink.service.GetInfo\"}\0"));
    }
}
