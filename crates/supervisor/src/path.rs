//! A child's place in a tree as text: ids from the top down, with `/` between, and written so that no two places read the
//! same.

use std::borrow::Cow;

/// An id as one step of a path: `%` as `%25`, `/` as `%2F`, and an empty id as `%`.
pub(crate) fn step(id: &str) -> Cow<'_, str> {
    if id.is_empty() {
        return Cow::Borrowed("%");
    }
    if !id.contains(['%', '/']) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(id.replace('%', "%25").replace('/', "%2F"))
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Clause 22.13: plain ids are themselves.
    #[test]
    fn only_what_a_path_is_made_of_is_written_otherwise() {
        let steps = ["a", "", "%", "/", "a/b", "50%", "%2F"].map(step);
        assert_eq!(steps, ["a", "%", "%25", "%2F", "a%2Fb", "50%25", "%252F"]);
    }

    proptest! {
        /// Clause 22.13: different lists of ids are different paths, and none is the path of the top.
        #[test]
        fn no_two_places_read_the_same(
            one in prop::collection::vec("[/%25Fa]{0,4}", 1..4), other in prop::collection::vec("[/%25Fa]{0,4}", 1..4),
        ) {
            let path = |ids: &[String]| ids.iter().map(|id| step(id)).collect::<Vec<_>>().join("/");
            prop_assert_eq!(path(&one) == path(&other), one == other);
            prop_assert!(!path(&one).is_empty());
        }
    }
}
