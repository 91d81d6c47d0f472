//! Tests across crates, through the public API; the files beside `src` are the tests.
