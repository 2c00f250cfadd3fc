//! `mcp-sensor verify`.

use super::{Verify, identities, replay::mend};
use crate::{
    cli::{Exit, Failure},
    export::{
        sanitize::sanitize,
        style::{Style, Styles},
        units, words,
    },
};
use mcp_sensor_proto::v1::loss::Count;
use recording::{
    keys::PublicKey,
    reader,
    verify::{Signature, Verdict, Verification, verify as verify_file},
};
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

pub fn verify(options: &Verify) -> Result<Exit, Failure> {
    let keys = options.key.iter().map(|path| public_keys(path)).collect::<Result<Vec<_>, _>>()?.concat();
    let reading = reader::Options { identities: identities(options.identity.as_deref())?, ..reader::Options::default() };
    let cannot = |why: String| Failure::new(Exit::Usage, format!("cannot read the recording {}", options.file.display())).because(why);
    let file = File::open(&options.file).map_err(|error| cannot(error.to_string()))?;
    let verification = verify_file(file, &reading, &keys).map_err(|error| {
        let failure = cannot(error.to_string());
        match mend(&error.fault) {
            Some(mend) => failure.mend(mend),
            None => failure,
        }
    })?;
    let is_good = is_good(&verification.verdict, !keys.is_empty());
    let text = if options.json {
        format!("{}\n", in_json(&verification, is_good))
    } else {
        in_words(&verification, is_good, Styles::choose(options.color, &io::stdout()))
    };
    io::stdout().write_all(text.as_bytes()).map_err(Failure::of_output)?;
    Ok(if is_good { Exit::Ok } else { Exit::Failed })
}

fn public_keys(path: &Path) -> Result<Vec<PublicKey>, Failure> {
    let refused = |why: String| {
        Failure::new(Exit::Usage, format!("--key {}", path.display())).because(why).mend("give the .pub file that `mcp-sensor keygen` made")
    };
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let keys = PublicKey::parse_all(&text).map_err(|error| refused(error.to_string()))?;
    if keys.is_empty() { Err(refused("it holds no key".to_owned())) } else { Ok(keys) }
}

/// True where the recording is complete and unaltered, and, where keys were given, one of them says so.
const fn is_good(verdict: &Verdict, keys_given: bool) -> bool {
    match verdict {
        Verdict::Complete(Signature::Trusted(_)) => true,
        Verdict::Complete(Signature::Unsigned | Signature::Unknown(_)) => !keys_given,
        _ => false,
    }
}

/// The verdict in one word for programs, and in a sentence for people.
fn verdict(verification: &Verification) -> (&'static str, String) {
    match &verification.verdict {
        Verdict::Complete(signature) => ("COMPLETE", format!("complete and unaltered, {}", signed(signature))),
        Verdict::Damaged(damage) => {
            let time = damage.time.map_or_else(String::new, |time| format!(", at {}", moment(verification, time)));
            (
                "DAMAGED",
                format!(
                    "not as it was written: {} in block {} (bytes {} to {}{time})",
                    damage.what, damage.segment, damage.at, damage.until
                ),
            )
        }
        Verdict::NotClosed { at } => {
            ("NOT_CLOSED", format!("not ended: its sensor was killed or still writes, or its end was cut off at byte {at}"))
        }
        Verdict::Cut { at } => ("CUT", format!("cut: it is whole up to byte {at}")),
    }
}

fn signed(signature: &Signature) -> String {
    match signature {
        Signature::Trusted(key) => format!("signed by the key {} ({})", key.id(), sanitize(&key.name)),
        Signature::Unknown(key) => format!("signed by the key {}, which is not among those given: that proves nothing", key.id()),
        Signature::Unsigned => "but not signed: that shows no accident, and proves nothing against somebody".to_owned(),
        Signature::Removed(key) => format!("but the signature by the key {key} was removed"),
    }
}

fn moment(verification: &Verification, time: u64) -> String {
    let timestamp = crate::export::event::timestamp(time, verification.header.boot_time);
    timestamp.to_string()
}

fn losses(verification: &Verification) -> Vec<Count> {
    let lost = |lost: &recording::Lost| Count { place: lost.place, reason: lost.reason, count: lost.count, bytes: lost.bytes };
    verification.summary.losses.iter().map(lost).collect()
}

fn in_words(verification: &Verification, is_good: bool, styles: Styles) -> String {
    let Verification { header, summary, .. } = verification;
    let mut shown = String::new();
    let style = if is_good { Style::GOOD } else { Style::ERROR };
    styles.paint(style, &verdict(verification).1, &mut shown);
    let what = if header.filter.is_empty() { "everything" } else { &header.filter };
    let mut lines = vec![format!("node {}, level {}, {}, mcp-sensor {}", header.node, header.level.name(), what, header.sensor_version)];
    if let (Some(first), Some(last)) = (summary.first, summary.last) {
        lines.push(format!(
            "{} from {} to {}",
            units::count(summary.items(), "item"),
            moment(verification, first),
            moment(verification, last)
        ));
    }
    let losses = losses(verification);
    if losses.is_empty() && summary.gap_bytes == 0 && summary.blind_spots == 0 {
        lines.push("the sensor declared no losses".to_owned());
    }
    lines.extend(losses.iter().map(|count| format!("declared: {}", words::loss(count))));
    if summary.gap_bytes > 0 {
        lines.push(format!("declared: {} missing from streams", units::bytes(summary.gap_bytes)));
    }
    if summary.blind_spots > 0 {
        lines.push(format!("declared: {}", units::count(summary.blind_spots, "blind spot")));
    }
    if verification.malformed > 0 {
        lines.push(format!("{} could not be read", units::count(verification.malformed, "item")));
    }
    for line in lines {
        shown.push_str("\n  ");
        shown.push_str(&sanitize(&line));
    }
    shown.push('\n');
    shown
}

fn in_json(verification: &Verification, is_good: bool) -> serde_json::Value {
    let Verification { header, summary, segments, bytes, skipped, malformed, trailer_cut, verdict: found } = verification;
    let (name, detail) = verdict(verification);
    let key = match found {
        Verdict::Complete(Signature::Trusted(key) | Signature::Unknown(key)) => Some(key.id().to_string()),
        _ => None,
    };
    let losses: Vec<_> = losses(verification)
        .iter()
        .map(|count| json!({"place": count.place().as_str_name(), "reason": count.reason().as_str_name(), "count": count.count, "bytes": count.bytes}))
        .collect();
    json!({
        "ok": is_good, "verdict": name, "detail": detail, "key": key, "node": header.node, "level": header.level.name(),
        "items": summary.items(), "segments": segments, "bytes": bytes, "skipped": skipped, "malformed": malformed,
        "trailerCut": trailer_cut, "losses": losses, "gapBytes": summary.gap_bytes, "blindSpots": summary.blind_spots,
    })
}
