//! Keys that sign recordings: Ed25519, in files that other tools read too.
//!
//! The private key is PKCS#8 in PEM, as OpenSSL writes it. The public key is one line: `mcp-sensor-ed25519`, the key's 32
//! bytes in base64, and a name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use std::fmt;

/// What a public key's line begins with.
const PUBLIC: &str = "mcp-sensor-ed25519";

/// What stands before the 32 bytes of an Ed25519 private key in PKCS#8 (RFC 8410).
const PKCS8: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Why a key cannot be used.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// The text is no private key.
    #[error("this is no Ed25519 private key in PEM (PKCS#8): `openssl genpkey -algorithm ed25519` makes one")]
    Private,
    /// The line is no public key.
    #[error("line {line} is no public key: it must be `mcp-sensor-ed25519`, the key in base64, and a name")]
    Public {
        /// Which line of the text, from 1.
        line: usize,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers to make a key of")]
    Random,
}

/// Names a public key: the first eight bytes of its SHA-256.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyId({self})")
    }
}

/// A public key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey {
    /// Its bytes.
    pub bytes: [u8; 32],
    /// What its owner calls it; may be empty.
    pub name: String,
}

impl PublicKey {
    /// Reads public keys, one a line. Empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// Where a line is no public key.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, KeyError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        lines.map(|(index, line)| Self::line(line).ok_or(KeyError::Public { line: index + 1 })).collect()
    }

    fn line(line: &str) -> Option<Self> {
        let (word, rest) = line.trim().split_once(char::is_whitespace)?;
        let (key, name) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim_start(), ""));
        let bytes = BASE64.decode(key).ok()?.try_into().ok()?;
        (word == PUBLIC).then(|| Self { bytes, name: name.trim().to_owned() })
    }

    /// The key as a line, without a line end.
    #[must_use]
    pub fn to_line(&self) -> String {
        let name: String = self.name.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
        format!("{PUBLIC} {} {}", BASE64.encode(self.bytes), name.trim()).trim_end().to_owned()
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = ring::digest::digest(&ring::digest::SHA256, &self.bytes);
        KeyId(hash.as_ref().first_chunk().copied().unwrap_or_default())
    }

    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature).is_ok()
    }
}

/// A new key, as text for two files.
pub struct Generated {
    /// The private key's file. Secret: to be written with mode 0600.
    pub private: String,
    /// The public key's line.
    pub public: String,
}

/// Makes a key.
///
/// # Errors
/// Where the system gives no random numbers.
pub fn generate(name: &str) -> Result<Generated, KeyError> {
    let mut key = PKCS8.to_vec();
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
    key.extend_from_slice(&seed);
    let private = format!("{BEGIN}\n{}\n{END}\n", BASE64.encode(&key));
    let public = Signer::from_pem(&private)?.public_key(name).to_line();
    Ok(Generated { private, public })
}

/// A private key that signs recordings.
#[derive(Debug)]
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// Reads a private key's file.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (_, behind) = text.split_once(BEGIN).ok_or(KeyError::Private)?;
        let (inside, _) = behind.split_once(END).ok_or(KeyError::Private)?;
        let inside: String = inside.split_whitespace().collect();
        let key = BASE64.decode(inside).map_err(|_| KeyError::Private)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key).map(Self).map_err(|_| KeyError::Private)
    }

    /// Its public key.
    #[must_use]
    pub fn public_key(&self, name: &str) -> PublicKey {
        let bytes = self.0.public_key().as_ref().try_into().unwrap_or_default();
        PublicKey { bytes, name: name.to_owned() }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        // An Ed25519 signature has 64 bytes.
        self.0.sign(message).as_ref().first_chunk().copied().unwrap_or([0; 64])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let made = generate("  the sensor\nof web-1 ").unwrap();
        let signer = Signer::from_pem(&made.private).unwrap();
        let keys = PublicKey::parse_all(&format!("# ours\n\n{}\n", made.public)).unwrap();
        assert_eq!(keys, [signer.public_key("the sensor of web-1")]);
        let signature = signer.sign(b"text");
        assert!(keys[0].has_signed(b"text", &signature) && !keys[0].has_signed(b"Text", &signature));
        assert_ne!(generate("").unwrap().public, generate("").unwrap().public);
    }

    #[test]
    fn a_key_of_openssl_is_read() {
        // openssl genpkey -algorithm ed25519; openssl pkey -pubout -outform DER | tail -c 32 | base64
        let signer = Signer::from_pem(
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIFSuY/eDqsrkXf39dqTSdwc9t/u1ALmypr59cyijBtHZ\n-----END PRIVATE KEY-----\n",
        )
        .unwrap();
        assert_eq!(signer.public_key("").to_line(), "mcp-sensor-ed25519 k2uKKbqNOwI4r2E0fJgJjy1Tb67zRPBAWwOcy4BQCXU=");
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line() {
        assert_eq!(PublicKey::parse_all("\nmcp-sensor-ed25519 AAAA x").unwrap_err(), KeyError::Public { line: 2 });
        assert_eq!(PublicKey::parse_all("ssh-ed25519 AAAA x").unwrap_err(), KeyError::Public { line: 1 });
        for text in ["", "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nMC4C"] {
            assert_eq!(Signer::from_pem(text).unwrap_err(), KeyError::Private);
        }
    }
}
