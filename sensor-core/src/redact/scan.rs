//! Finds the secrets in a text that has been unescaped.
//!
//! [`prefilter::find`] tells where one may begin and [`Scan`] looks closer, with one rule for each lane. Time is linear in
//! the text whatever it says: a rule either looks at a bounded number of bytes, or takes what it has looked at for a
//! secret, behind which the search goes on; and runs of characters that rules share are measured once ([`Scan::run`]).

use memchr::memmem;

use super::assignment;
use super::prefilter::{self, Lanes, lane};
use super::shapes::{self, CLASSES, Class, Sure};

/// A secret in a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hit {
    /// Position of its first byte.
    pub start: usize,
    /// Position behind its last byte.
    pub end: usize,
    /// How it is called in the marker.
    pub kind: &'static str,
}

/// A search through one text.
pub(super) struct Scan<'t> {
    pub(super) text: &'t [u8],
    /// For each class the last run of its characters that was measured.
    runs: [(usize, usize); CLASSES],
    /// End of the last name that was judged, so that no part of it is judged again.
    pub(super) judged: usize,
    /// Where the search goes on.
    at: usize,
    /// A secret that has been found and stands further on.
    waiting: Option<Hit>,
    /// End of the last secret.
    done: usize,
}

impl<'t> Scan<'t> {
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self { text, runs: [(0, 0); CLASSES], judged: 0, at: 0, waiting: None, done: 0 }
    }

    /// The next position that must be looked at.
    pub(super) fn candidate(&mut self) -> Option<(usize, Lanes)> {
        let (at, lanes) = prefilter::find(self.text, self.at)?;
        self.at = at + 1;
        Some((at, lanes))
    }

    /// The next secret. They come in order and do not overlap.
    pub(super) fn next(&mut self) -> Option<Hit> {
        loop {
            let limit = self.waiting.map_or(self.text.len(), |hit| hit.start);
            let hit = match self.candidate().filter(|(at, _)| *at < limit) {
                Some((at, lanes)) => match self.look(at, lanes) {
                    // A value that stands away from its name: in the name, there may be a secret as well. Two values become
                    // one.
                    Some(hit) if hit.start > at => {
                        let waiting = self.waiting.unwrap_or(hit);
                        let (start, end) = (hit.start.min(waiting.start), hit.end.max(waiting.end));
                        self.waiting = Some(Hit { start, end, kind: waiting.kind });
                        continue;
                    }
                    Some(hit) => hit,
                    None => continue,
                },
                None => self.waiting.take()?,
            };
            let hit = Hit { start: hit.start.max(self.done), ..hit };
            if hit.start < hit.end {
                self.done = hit.end;
                self.at = hit.end;
                return Some(hit);
            }
            self.at = self.at.max(self.done);
        }
    }

    /// The secret to which the window at `at` belongs.
    pub(super) fn look(&mut self, at: usize, lanes: Lanes) -> Option<Hit> {
        if lanes & lane::WORDS != 0
            && let Some(hit) = assignment::look(self, at)
        {
            return Some(hit);
        }
        let mut rest = lanes;
        while rest != 0 {
            let lane = rest & rest.wrapping_neg();
            rest ^= lane;
            let hit = self.shape(at, lane).or_else(|| match lane {
                lane::EYJ => self.json_web_token(at).or_else(|| self.private_key(at)),
                lane::COLON => self.user_info(at).or_else(|| self.telegram(at)),
                lane::RER => self.bearer(at),
                lane::KIE => self.webhook(at),
                lane::B_P => self.signature(at),
                _ => None,
            });
            if hit.is_some() {
                return hit;
            }
        }
        None
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    pub(super) fn from(&self, at: usize) -> &'t [u8] {
        self.text.get(at..).unwrap_or_default()
    }

    pub(super) fn range(&self, start: usize, end: usize) -> &'t [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// True where no letter and no digit stands before `at`.
    fn edge(&self, at: usize) -> bool {
        at.checked_sub(1).and_then(|before| self.byte(before)).is_none_or(|byte| !byte.is_ascii_alphanumeric())
    }

    /// End of the run of characters of a class that begins at `from`. Inside of a run that has been measured, nothing is
    /// looked at again.
    pub(super) fn run(&mut self, class: Class, from: usize) -> usize {
        let (start, end) = self.runs.get(class as usize).copied().unwrap_or_default();
        if (start..end).contains(&from) {
            return end;
        }
        let end = from + self.from(from).iter().take_while(|byte| class.has(**byte)).count();
        if let Some(run) = self.runs.get_mut(class as usize) {
            *run = (from, end);
        }
        end
    }

    fn shape(&mut self, at: usize, lane: Lanes) -> Option<Hit> {
        for shape in shapes::of(lane) {
            let Some(start) = at.checked_sub(shape.window) else { continue };
            if !self.from(start).starts_with(shape.prefix.as_bytes()) {
                continue;
            }
            if shape.sure != Sure::Prefix && !self.edge(start) {
                continue;
            }
            let body = start + shape.prefix.len();
            let mut end = self.run(shape.class, body);
            // A full stop at the end is the sentence's.
            while end > body && self.byte(end - 1) == Some(b'.') {
                end -= 1;
            }
            if end - body < shape.least {
                continue;
            }
            // The digit is looked for where it must be found, so as to look at so many bytes only.
            let beginning = self.range(body, end.min(body + 64));
            if shape.sure == Sure::EdgeAndDigit && !beginning.iter().any(u8::is_ascii_digit) {
                continue;
            }
            // What is written together with it is part of it, whatever it is.
            return Some(Hit { start, end: self.run(Class::Url, end), kind: shape.kind });
        }
        None
    }

    /// `eyJ….….…`, or encrypted with an empty second part. Two parts are enough: the third may be empty.
    fn json_web_token(&mut self, at: usize) -> Option<Hit> {
        const LEAST: usize = 8;
        if !self.from(at).starts_with(b"eyJ") {
            return None;
        }
        let dot = self.run(Class::Url, at);
        if dot - at < LEAST || self.byte(dot) != Some(b'.') {
            return None;
        }
        let second = self.from(dot + 1).iter().take(LEAST).take_while(|byte| Class::Url.has(**byte)).count();
        if second < LEAST && !(second == 0 && self.byte(dot + 1) == Some(b'.')) {
            return None;
        }
        Some(Hit { start: at, end: self.run(Class::Dotted, at), kind: "jwt" })
    }

    /// `-----BEGIN … PRIVATE KEY-----` to its end line, or to the end of the text.
    fn private_key(&self, at: usize) -> Option<Hit> {
        const BEGIN: &[u8] = b"-----BEGIN ";
        const LABEL: usize = 64;
        let start = at.checked_sub(3)?;
        let label = start + BEGIN.len();
        if !self.from(start).starts_with(BEGIN) {
            return None;
        }
        let label_end = label + memmem::find(self.range(label, self.text.len().min(label + LABEL)), b"-----")?;
        memmem::find(self.range(label, label_end), b"PRIVATE KEY")?;
        let body = label_end + 5;
        let end = memmem::find(self.from(body), b"-----END").map_or(self.text.len(), |found| {
            let label = body + found + 8;
            let is_label = |byte: &&u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' ');
            let line = label + self.from(label).iter().take(LABEL).take_while(is_label).count();
            if self.from(line).starts_with(b"-----") { line + 5 } else { line }
        });
        Some(Hit { start, end, kind: "private-key" })
    }

    /// The password in `scheme://user:password@host`; a long user without a password is a token.
    fn user_info(&self, at: usize) -> Option<Hit> {
        const TOKEN: usize = 16;
        let start = at + 3;
        if !self.from(at).starts_with(b"://") {
            return None;
        }
        let ends = |byte: &u8| matches!(byte, 0..=b' ' | b'/' | b'?' | b'#' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'|');
        let length = self.from(start).iter().position(ends).unwrap_or(self.text.len() - start);
        let authority = self.range(start, start + length);
        let user_info = start + memchr::memrchr(b'@', authority)?;
        let password = memchr::memchr(b':', self.range(start, user_info)).map_or(user_info, |colon| start + colon + 1);
        let start = if password < user_info { password } else { start };
        let found = (password < user_info || user_info - start >= TOKEN) && !assignment::is_marker(self.from(start));
        found.then_some(Hit { start, end: user_info, kind: "url-password" })
    }

    /// Token of a bot: `123456789:AA…`
    fn telegram(&mut self, at: usize) -> Option<Hit> {
        let digits = self.range(0, at).iter().rev().take(11).take_while(|byte| byte.is_ascii_digit()).count();
        if !(8..=10).contains(&digits) || !self.from(at).starts_with(b":AA") {
            return None;
        }
        let end = self.run(Class::Url, at + 1);
        (end - at > 33).then_some(Hit { start: at - digits, end, kind: "telegram-token" })
    }

    /// `Bearer` and what follows it.
    fn bearer(&mut self, at: usize) -> Option<Hit> {
        let start = at.checked_sub(3)?;
        if !self.range(start, start + 6).eq_ignore_ascii_case(b"bearer") {
            return None;
        }
        let space = self.from(start + 6).iter().take(4).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let token = start + 6 + space;
        if space == 0 || assignment::is_marker(self.from(token)) {
            return None;
        }
        let end = self.run(Class::Token, token);
        (end - token >= 8 && assignment::is_credible(self.range(token, end.min(token + 256)))).then_some(Hit {
            start: token,
            end,
            kind: "bearer-token",
        })
    }

    /// Addresses that let anyone who knows them post: Slack's and Discord's.
    fn webhook(&mut self, at: usize) -> Option<Hit> {
        const SLACK: &[u8] = b"hooks.slack.com/services/";
        const DISCORD: &[u8] = b"/api/webhooks/";
        let (body, least) = if at >= 3 && self.from(at - 3).starts_with(SLACK) {
            (at - 3 + SLACK.len(), 20)
        } else if at >= 11 && self.from(at - 11).starts_with(DISCORD) {
            (at - 11 + DISCORD.len(), 40)
        } else {
            return None;
        };
        let end = self.run(Class::Token, body);
        (end - body >= least).then_some(Hit { start: body, end, kind: "webhook" })
    }

    /// `sig=` of an address that Azure signed.
    fn signature(&mut self, at: usize) -> Option<Hit> {
        let start = at.checked_sub(1)?;
        let before = start.checked_sub(1).and_then(|before| self.byte(before));
        if !self.from(start).starts_with(b"sig=") || !matches!(before, Some(b'?' | b'&' | b';')) {
            return None;
        }
        let end = self.run(Class::Token, start + 4);
        (end - start >= 24).then_some(Hit { start: start + 4, end, kind: "signature" })
    }
}
