//! Tokens that are known by their shape: a literal beginning, and then so many characters of a class.

use super::prefilter::{Lanes, lane};

/// Characters that a token is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// `0-9 a-f`
    Hex,
    /// `A-Z 0-9`
    Upper,
    /// `A-Z a-z 0-9`
    Alnum,
    /// Alphabet of base64url: `A-Z a-z 0-9 _ -`
    Url,
    /// That and full stops.
    Dotted,
    /// Everything that tokens are written with: that and `+ / = ~ %`
    Token,
}

/// Number of classes.
pub(super) const CLASSES: usize = 6;

impl Class {
    pub(super) const fn has(self, byte: u8) -> bool {
        match self {
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::Upper => matches!(byte, b'0'..=b'9' | b'A'..=b'Z'),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => Self::Url.has(byte) || byte == b'.',
            Self::Token => Self::Dotted.has(byte) || matches!(byte, b'+' | b'/' | b'=' | b'~' | b'%'),
        }
    }
}

/// One shape.
#[derive(Debug)]
pub(super) struct Shape {
    /// How it is called in the marker.
    pub kind: &'static str,
    /// Lane of its window.
    pub lane: Lanes,
    /// Where the window stands in the prefix.
    pub window: usize,
    /// How the token begins.
    pub prefix: &'static str,
    /// What follows.
    pub class: Class,
    /// At least how much of it.
    pub least: usize,
    /// What makes it sure. A short prefix may stand inside of an innocent word.
    pub sure: Sure,
}

/// What more a shape asks, so that innocent text is not taken for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sure {
    /// Nothing: the prefix says enough.
    Prefix,
    /// No letter and no digit stands before it.
    Edge,
    /// That, and there is a digit in it.
    EdgeAndDigit,
}

const fn shape(kind: &'static str, lane: Lanes, window: usize, prefix: &'static str, class: Class, least: usize, sure: Sure) -> Shape {
    Shape { kind, lane, window, prefix, class, least, sure }
}

use Class::{Alnum, Dotted, Hex, Token, Upper, Url};
use Sure::{Edge, EdgeAndDigit, Prefix};

/// All shapes, in the order of their lanes; of two that fit, the first counts.
pub(super) const SHAPES: &[Shape] = &[
    shape("shopify-token", lane::SSN, 0, "shpat_", Alnum, 30, Edge),
    shape("shopify-token", lane::SSN, 0, "shpss_", Alnum, 30, Edge),
    shape("shopify-token", lane::SSN, 0, "shpca_", Alnum, 30, Edge),
    shape("shopify-token", lane::SSN, 0, "shppa_", Alnum, 30, Edge),
    shape("square-token", lane::SSN, 0, "sq0", Url, 22, Edge),
    shape("supabase-token", lane::SSN, 0, "sbp_", Hex, 40, Edge),
    shape("sentry-token", lane::SSN, 0, "sntrys_", Token, 30, Edge),
    shape("sentry-token", lane::SSN, 0, "sntryu_", Token, 30, Edge),
    shape("aws-key-id", lane::AKI, 0, "AKIA", Upper, 16, Prefix),
    shape("aws-key-id", lane::AKI, 0, "ASIA", Upper, 16, Prefix),
    shape("google-key", lane::AKI, 0, "AIza", Url, 30, Prefix),
    shape("atlassian-token", lane::AKI, 0, "ATATT3", Token, 20, Prefix),
    shape("age-key", lane::AKI, 0, "AGE-SECRET-KEY-1", Upper, 50, Prefix),
    shape("databricks-token", lane::AKI, 0, "dapi", Hex, 32, Edge),
    shape("doppler-token", lane::AKI, 0, "dp.", Dotted, 40, Edge),
    shape("docker-token", lane::AKI, 0, "dckr_pat_", Url, 20, Prefix),
    shape("github-token", lane::GHP, 1, "ghp_", Alnum, 30, Prefix),
    shape("github-token", lane::GHP, 1, "gho_", Alnum, 30, Prefix),
    shape("github-token", lane::GHP, 1, "ghu_", Alnum, 30, Prefix),
    shape("github-token", lane::GHP, 1, "ghs_", Alnum, 30, Prefix),
    shape("github-token", lane::GHP, 1, "ghr_", Alnum, 30, Prefix),
    shape("huggingface-token", lane::GHP, 0, "hf_", Alnum, 30, Edge),
    shape("replicate-token", lane::GHP, 0, "r8_", Alnum, 30, Edge),
    shape("figma-token", lane::GHP, 2, "figd_", Url, 30, Edge),
    shape("github-token", lane::B_P, 5, "github_pat_", Url, 20, Prefix),
    shape("linear-token", lane::B_P, 3, "lin_api_", Alnum, 30, Prefix),
    shape("gitlab-token", lane::LPA, 1, "glpat-", Dotted, 16, Prefix),
    shape("grafana-token", lane::LPA, 1, "glsa_", Url, 30, Prefix),
    shape("slack-token", lane::XOX, 0, "xoxb-", Token, 10, Prefix),
    shape("slack-token", lane::XOX, 0, "xoxp-", Token, 10, Prefix),
    shape("slack-token", lane::XOX, 0, "xoxa-", Token, 10, Prefix),
    shape("slack-token", lane::XOX, 0, "xoxr-", Token, 10, Prefix),
    shape("slack-token", lane::XOX, 0, "xoxs-", Token, 10, Prefix),
    shape("slack-token", lane::XOX, 0, "xoxc-", Token, 10, Prefix),
    shape("slack-token", lane::XOX, 0, "xoxd-", Token, 10, Prefix),
    shape("slack-token", lane::XOX, 0, "xoxe", Token, 20, Prefix),
    shape("slack-token", lane::XOX, 0, "xapp-", Url, 20, Prefix),
    shape("xai-key", lane::XOX, 0, "xai-", Alnum, 30, Edge),
    shape("anthropic-key", lane::SK, 0, "sk-ant-", Url, 20, Edge),
    shape("openai-key", lane::SK, 0, "sk-", Url, 20, EdgeAndDigit),
    shape("stripe-key", lane::SK, 0, "sk_live_", Alnum, 16, Prefix),
    shape("stripe-key", lane::SK, 0, "sk_test_", Alnum, 16, Prefix),
    shape("stripe-key", lane::SK, 0, "rk_live_", Alnum, 16, Prefix),
    shape("stripe-key", lane::SK, 0, "rk_test_", Alnum, 16, Prefix),
    shape("groq-key", lane::SK, 1, "gsk_", Alnum, 30, Edge),
    shape("webhook-secret", lane::HSE, 1, "whsec_", Token, 20, Prefix),
    shape("vault-token", lane::HSE, 0, "hvs.", Url, 20, Edge),
    shape("vault-token", lane::HSE, 0, "hvb.", Url, 20, Edge),
    shape("digitalocean-token", lane::V1, 3, "dop_v1_", Hex, 40, Prefix),
    shape("digitalocean-token", lane::V1, 3, "doo_v1_", Hex, 40, Prefix),
    shape("digitalocean-token", lane::V1, 3, "dor_v1_", Hex, 40, Prefix),
    shape("google-token", lane::V1, 1, "ya29.", Dotted, 20, Prefix),
    shape("google-secret", lane::CSP, 2, "GOCSPX-", Url, 20, Prefix),
    shape("postman-key", lane::CSP, 0, "PMAK-", Url, 30, Prefix),
    shape("newrelic-key", lane::CSP, 0, "NRAK-", Upper, 20, Prefix),
    shape("heroku-key", lane::CSP, 0, "HRKU-", Url, 20, Prefix),
    shape("npm-token", lane::NPM, 1, "npm_", Alnum, 30, Edge),
    shape("pypi-token", lane::NPM, 0, "pypi-", Url, 50, Edge),
    shape("planetscale-token", lane::NPM, 0, "pscale_", Dotted, 30, Edge),
    shape("perplexity-key", lane::NPM, 1, "pplx-", Alnum, 30, Edge),
    shape("sendgrid-key", lane::SG, 0, "SG.", Dotted, 40, Edge),
    shape("twilio-key", lane::SG, 0, "SK", Hex, 32, Edge),
];

/// For each lane: where its shapes begin in [`SHAPES`], and how many there are.
const OF_LANE: [(usize, usize); 32] = of_lane();

#[allow(clippy::indexing_slicing, reason = "the compiler runs this, and tells")]
const fn of_lane() -> [(usize, usize); 32] {
    let mut of_lane = [(0, 0); 32];
    let mut index = 0;
    while index < SHAPES.len() {
        let lane = &mut of_lane[SHAPES[index].lane.trailing_zeros() as usize];
        if lane.1 == 0 {
            lane.0 = index;
        }
        assert!(lane.0 + lane.1 == index, "the shapes of a lane stand together");
        lane.1 += 1;
        index += 1;
    }
    of_lane
}

/// The shapes of one lane.
pub(super) fn of(lane: Lanes) -> &'static [Shape] {
    let (start, count) = OF_LANE.get(lane.trailing_zeros() as usize).copied().unwrap_or_default();
    SHAPES.get(start..start + count).unwrap_or_default()
}
