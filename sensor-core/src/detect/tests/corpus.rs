//! The detectors on the corpus (`rules/corpus`): what they find agrees with the labels, but for what is known to be missed.
//! Only the rules are looked at that a single event decides.

use super::*;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::Path;

/// Cases that are known to come out wrong: the rule, the case, why.
const KNOWN: &[(&str, &str, &str)] = &[
    ("command-injection", "injection-exec-option", "what stands under `pattern` is a text"),
    ("command-injection", "command-python-walrus", "the rule leaves tools for code out"),
];

/// Rules that the detectors decide from one event.
const RULES: &[&str] = &[
    "path-traversal",
    "sensitive-path",
    "command-injection",
    "ssrf-internal",
    "ssrf-metadata",
    "poisoned-tool",
    "injected-result",
    "unpinned-launcher",
];

fn cases(folder: &str) -> Vec<Json> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/corpus").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| serde_saphyr::from_str::<Vec<Json>>(&std::fs::read_to_string(file).unwrap()).unwrap();
    files.iter().flat_map(read).collect()
}

/// What is found at one event.
fn found(event: &Json) -> BTreeSet<&'static str> {
    let mut rules = BTreeSet::new();
    let message = &event["message"];
    let request = message["type"] == "REQUEST";
    for value in [&event["toolCall"]["arguments"], if request { &message["body"]["params"] } else { &Json::Null }] {
        let shown = arguments_of(&value.to_string());
        let plain = ["localhost", "127.0.0.1", "[::1]"];
        let ports = ["2375", "2376", "2379", "10250"];
        let odd = |address: &String| {
            let (host, port) = address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).unwrap_or((address, ""));
            !plain.contains(&host) || ports.contains(&port)
        };
        let schemes = shown.schemes.iter().any(|scheme| ["gopher", "dict"].contains(&scheme.as_str()));
        let internal = shown.internal_addresses.iter().any(odd) || schemes;
        rules.extend(shown.path_traversal.then_some("path-traversal"));
        rules.extend((!shown.sensitive_paths.is_empty()).then_some("sensitive-path"));
        rules.extend((!shown.shell.is_empty()).then_some("command-injection"));
        rules.extend(shown.metadata_address.then_some("ssrf-metadata"));
        rules.extend((internal && !shown.metadata_address).then_some("ssrf-internal"));
    }
    let result = &message["body"]["result"];
    let method = message["method"].as_str().unwrap_or_default();
    let definitions: Vec<&Json> = match method {
        "tools/list" => result["tools"].as_array().into_iter().flatten().collect(),
        "initialize" | "server/discover" | "prompts/list" => vec![result],
        _ => vec![],
    };
    rules.extend(definitions.iter().any(|definition| text_of(&definition.to_string()).score >= 50).then_some("poisoned-tool"));
    let read = if matches!(method, "resources/read" | "prompts/get") { result } else { &event["toolCall"]["result"] };
    rules.extend((text_of(&read.to_string()).score >= 60).then_some("injected-result"));
    if event["sessionChange"]["state"] == "OPENED" {
        let words = event["server"]["commandLine"].as_array().unwrap();
        let words: Vec<String> = words.iter().map(|word| word.as_str().unwrap().to_owned()).collect();
        let launch = launch(event["server"]["exe"].as_str().unwrap(), &words);
        rules.extend((!launch.launcher.is_empty() && !launch.pinned).then_some("unpinned-launcher"));
    }
    rules
}

#[test]
fn the_corpus_is_judged_as_it_is_labelled() {
    let mut wrong = BTreeSet::new();
    let mut counts = vec![(0, 0, 0); RULES.len()];
    for case in cases("attacks").iter().chain(&cases("benign")) {
        let id = case["id"].as_str().unwrap().to_owned();
        let labels: Vec<&str> = case["rules"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let found: BTreeSet<&str> = case["events"].as_array().unwrap().iter().flat_map(found).collect();
        for (rule, (hits, false_alarms, misses)) in RULES.iter().zip(&mut counts) {
            match (labels.contains(rule), found.contains(rule)) {
                (true, true) => *hits += 1,
                (false, false) => {}
                (true, false) => {
                    *misses += 1;
                    wrong.insert((*rule, id.clone(), "missed"));
                }
                (false, true) => {
                    *false_alarms += 1;
                    wrong.insert((*rule, id.clone(), "false alarm"));
                }
            }
        }
    }
    for (rule, (hits, false_alarms, misses)) in RULES.iter().zip(counts) {
        println!("{rule:20} hits {hits:3}  false alarms {false_alarms:3}  misses {misses:3}");
    }
    let known: BTreeSet<_> = KNOWN.iter().map(|(rule, id, _)| (*rule, (*id).to_owned())).collect();
    let unknown: Vec<_> = wrong.iter().filter(|(rule, id, _)| !known.contains(&(*rule, id.clone()))).collect();
    assert!(unknown.is_empty(), "not as labelled: {unknown:#?}");
    for (rule, id) in known {
        assert!(wrong.iter().any(|wrong| (wrong.0, &wrong.1) == (rule, &id)), "{rule} is right about {id} now: take it off the list");
    }
}
