//! Tests across crates, through the public API; the files beside `src` are the tests, and here lies what a test shares with
//! a program.

pub mod chaos;
