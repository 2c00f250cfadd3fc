//! How events meet in exchanges.
