//! The commonest mistakes, and what is said about them. All of it are our own words, so that another compiler says the same.

/// Row G1: compile errors say what to do.
#[test]
fn mistakes_are_told_what_to_do_about_them() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
