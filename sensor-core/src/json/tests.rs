#[allow(unused_imports, reason="later")] use super::*;
