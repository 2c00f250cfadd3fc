//! The policy file as it is written: YAML, with the place of everything that an error may have to point at.

use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;

/// A policy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub version: Spanned<u32>,
    #[serde(default)]
    pub variables: BTreeMap<String, Spanned<serde_json::Value>>,
    #[serde(default)]
    pub lists: BTreeMap<String, Spanned<Vec<String>>>,
    #[serde(default)]
    pub windows: BTreeMap<String, Spanned<Window>>,
    #[serde(default)]
    pub firsts: BTreeMap<String, Spanned<First>>,
    #[serde(default)]
    pub rules: Vec<Spanned<Rule>>,
}

/// What is counted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub on: Spanned<Names>,
    #[serde(default)]
    pub by: Vec<Spanned<String>>,
    pub within: Spanned<String>,
    pub r#where: Option<Spanned<String>>,
    pub sum: Option<Spanned<String>>,
}

/// What is remembered to have been seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct First {
    pub on: Spanned<Names>,
    #[serde(default)]
    pub by: Vec<Spanned<String>>,
    pub r#where: Option<Spanned<String>>,
}

/// One name, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Names {
    One(String),
    Several(Vec<String>),
}

impl Names {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(name) => std::slice::from_ref(name).iter(),
            Self::Several(names) => names.iter(),
        }
        .map(String::as_str)
    }
}

/// A rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub id: Spanned<String>,
    pub title: String,
    pub on: Spanned<Names>,
    pub when: Spanned<String>,
    pub severity: Spanned<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub action: Option<Spanned<String>>,
    pub target: Option<Spanned<String>>,
    #[serde(default)]
    pub tree: bool,
    pub quiet: Option<Spanned<String>>,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub tests: Vec<Spanned<Test>>,
}

const fn yes() -> bool {
    true
}

/// A test of a rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    pub name: String,
    pub r#match: bool,
    /// Variables that have another value in this test.
    #[serde(default)]
    pub variables: BTreeMap<String, Spanned<serde_json::Value>>,
    /// The same of lists.
    #[serde(default)]
    pub lists: BTreeMap<String, Spanned<Vec<String>>>,
    pub events: Vec<serde_json::Value>,
}

/// One case of a labelled corpus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Names the case.
    pub id: String,
    /// What it is.
    pub about: String,
    /// The rules that must match. None: none must.
    #[serde(default)]
    pub rules: Vec<String>,
    /// The rules that it nearly looks like.
    #[serde(default)]
    pub near: Vec<String>,
    /// What happens.
    pub events: Vec<serde_json::Value>,
}
