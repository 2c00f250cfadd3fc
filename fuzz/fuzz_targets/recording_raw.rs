#![no_main]

#[path = "../checks/recording.rs"]
#[allow(dead_code, reason = "the other target uses the rest")]
mod recording_checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| recording_checks::raw(data));
