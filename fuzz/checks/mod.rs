//! What the fuzz targets check: laws, as functions of any bytes. Each panics where its law is broken.
//!
//! The same file is compiled into `sensor-core/tests/laws.rs`, which replays the corpora and feeds the laws from proptest:
//! so every law holds in the ordinary test run, with no nightly and no fuzzer.

mod choices;
mod json;
mod ndjson;
mod policy;
mod reassembly;
mod redact;

pub use json::{raw as json_raw, structured as json_structured};
pub use ndjson::{raw as ndjson_raw, structured as ndjson_structured};
pub use policy::{event as policy_event, policy};
pub use reassembly::reassembly;
pub use redact::redact;
