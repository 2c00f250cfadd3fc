//! Names of things that are secret: keys of objects, variables, options, headers.
//!
//! A name is compared without case and separators: `api_key`, `apiKey`, `API-KEY` and `x-api-key` mean the same. What
//! matters most is the end of it, which says what the thing is: `access_token` is a token, `token_count` is a count.

use super::prefilter::{self, lane};
use super::string::MARKER;

/// The longest name that is looked at. A longer one is no name.
pub(super) const LONGEST: usize = 128;

/// What a secret name tells of its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Secret {
    /// How it is called in the marker.
    pub kind: &'static str,
    /// The name has another meaning as well (`pwd`, the working directory; `pass`, the tests that passed).
    pub doubtful: bool,
}

impl Secret {
    /// False for a value that shows that the other meaning is meant.
    pub(super) fn may_be(self, value: &[u8]) -> bool {
        let path = matches!(value.first(), Some(b'/' | b'.' | b'~')) || matches!(value, [_, b':', b'\\' | b'/', ..]);
        let number = value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        !(self.doubtful && (path || number))
    }
}

/// A name in lower case without separators.
struct Name {
    bytes: [u8; LONGEST],
    length: usize,
    /// A bit for each byte that begins a word of its own.
    words: u128,
}

impl Name {
    fn new(name: &[u8]) -> Self {
        let mut this = Self { bytes: [0; LONGEST], length: 0, words: 0 };
        let mut before = b' ';
        for byte in name {
            if let Some(place) = this.bytes.get_mut(this.length).filter(|_| byte.is_ascii_alphanumeric()) {
                *place = byte.to_ascii_lowercase();
                let begins = !before.is_ascii_alphanumeric() || (before.is_ascii_lowercase() && byte.is_ascii_uppercase());
                this.words |= u128::from(begins) << this.length;
                this.length += 1;
            }
            before = *byte;
        }
        // `password2` is a password.
        while this.length > 1 && this.bytes.get(this.length - 1).is_some_and(u8::is_ascii_digit) {
            this.length -= 1;
        }
        this
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn has(&self, part: &str) -> bool {
        memchr::memmem::find(self.bytes(), part.as_bytes()).is_some()
    }

    fn ends(&self, part: &str) -> bool {
        self.bytes().ends_with(part.as_bytes())
    }

    fn ends_any(&self, parts: &[&str]) -> bool {
        parts.iter().any(|part| self.ends(part))
    }

    fn is(&self, whole: &str) -> bool {
        self.bytes() == whole.as_bytes()
    }

    /// True where `part` is the last word.
    fn ends_word(&self, part: &str) -> bool {
        self.ends(part) && self.begins_word(self.length - part.len())
    }

    fn begins_word(&self, at: usize) -> bool {
        self.words >> at & 1 == 1
    }

    /// A token that counts or pages and opens nothing.
    fn is_harmless_token(&self) -> bool {
        let before = self.bytes().strip_suffix(b"token").unwrap_or_default();
        let below = u128::MAX.checked_shr(u32::try_from(LONGEST - before.len()).unwrap_or(u32::MAX)).unwrap_or(0);
        let last = (self.words & below).checked_ilog2().unwrap_or(0);
        before.get(last as usize..).is_some_and(is_harmless_before_token)
    }
}

/// What stands before `token` where it counts or pages and opens nothing.
const fn is_harmless_before_token(word: &[u8]) -> bool {
    matches!(
        word,
        b"progress"
            | b"page"
            | b"nextpage"
            | b"next"
            | b"nextsync"
            | b"prev"
            | b"previous"
            | b"continuation"
            | b"continue"
            | b"cursor"
            | b"sync"
            | b"resumption"
            | b"resume"
            | b"start"
            | b"stop"
            | b"end"
            | b"eos"
            | b"bos"
            | b"pad"
            | b"unk"
            | b"mask"
            | b"cls"
            | b"sep"
            | b"special"
            | b"image"
            | b"max"
            | b"min"
            | b"num"
            | b"total"
            | b"per"
            | b"first"
            | b"last"
            | b"current"
            | b"partial"
    )
}

/// Ends of names of keys that open something.
const KEYS: &[&str] = &[
    "apikey",
    "apikeys",
    "privatekey",
    "accesskey",
    "authkey",
    "encryptionkey",
    "decryptionkey",
    "signingkey",
    "masterkey",
    "accountkey",
    "sharedkey",
    "sshkey",
    "deploykey",
    "licensekey",
    "servicekey",
    "adminkey",
    "storagekey",
    "subscriptionkey",
    "sessionkey",
    "consumerkey",
    "appkey",
    "symmetrickey",
    "webhookkey",
];

/// Ends of names that tell of a password or a secret without being one.
const ABOUT: &[&str] =
    &["file", "path", "stdin", "policy", "length", "prompt", "field", "required", "secretname", "secretref", "secretarn", "secretary"];

/// What a name means, where its value must not be shown.
///
/// Only a name with one of the words of [`lane::WORDS`] in one piece can be secret, so that looking for these windows in a
/// text finds every secret name in it.
pub(super) fn secret(name: &[u8]) -> Option<Secret> {
    if name.len() > LONGEST {
        return None;
    }
    let mut lanes = 0;
    let mut from = 0;
    while let Some((at, found)) = prefilter::find(name, from) {
        lanes |= found;
        from = at + 1;
    }
    if lanes & lane::WORDS == 0 || memchr::memmem::find(name, MARKER.as_bytes()).is_some() {
        return None;
    }
    let name = Name::new(name);
    let sure = |kind| Some(Secret { kind, doubtful: false });
    if lanes & lane::PAS != 0 {
        if ["password", "passwd", "passphrase", "passcode"].iter().any(|word| name.has(word)) && !name.ends_any(ABOUT) {
            return sure("password");
        }
        if name.is("pass") || name.is("pwd") {
            return Some(Secret { kind: "password", doubtful: true });
        }
        let pass = name.ends_word("pass") || name.ends_any(&["dbpass", "userpass", "smtppass", "mysqlpass"]);
        if pass || (name.ends("pwd") && !name.is("oldpwd")) {
            return sure("password");
        }
    }
    if lanes & lane::ECR != 0 {
        if name.has("secret") && !name.ends_any(ABOUT) {
            return sure("secret");
        }
        if name.ends_any(&["credential", "credentials"]) {
            return sure("credentials");
        }
    }
    if lanes & lane::TOK != 0 {
        let token = name.ends("token") && !name.is_harmless_token();
        if token || name.ends("tokenvalue") {
            return sure("token");
        }
    }
    if lanes & lane::KEY != 0 && name.ends_any(KEYS) {
        return sure("key");
    }
    if lanes & lane::UTH != 0 && name.ends_any(&["authorization", "basicauth", "httpauth", "registryauth", "dockerauth"]) {
        return sure("authorization");
    }
    if lanes & lane::KIE != 0 && name.ends_any(&["cookie", "cookies"]) {
        return sure("cookie");
    }
    if lanes & lane::SSN != 0 && name.ends_word("ssn") {
        return sure("personal-number");
    }
    None
}
