//! The text of a name, and which texts are names.

use smol_str::SmolStr;
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use uuid::Uuid;

/// The text of a name: cheap to clone. Up to 23 bytes lie in place, so that a look-up reads no memory but the slot that it is in.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameText(SmolStr);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// It would shadow the mailbox of this id, since a string is looked up as a name first.
    #[error("the name {0:?} reads as an id")]
    ReadsAsId(String),
    /// There is nothing in it.
    #[error("the name is empty")]
    Empty,
}

impl NameText {
    /// A name of this text.
    ///
    /// # Errors
    /// [`InvalidName`]: empty, or the text of a UUID in any of its forms.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if Uuid::try_parse(text).is_ok() {
            return Err(InvalidName::ReadsAsId(text.to_string()));
        }
        Ok(Self(SmolStr::new(text)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for NameText {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

// Equal texts are equal names and have one hash: what is derived goes by the text.
impl Borrow<str> for NameText {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for NameText {
    fn eq(&self, other: &str) -> bool {
        self.0.as_str() == other
    }
}

impl PartialEq<&str> for NameText {
    fn eq(&self, other: &&str) -> bool {
        self.0.as_str() == *other
    }
}

impl fmt::Display for NameText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NameText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_reads_as_an_id_is_no_name() {
        let id = Uuid::now_v7();
        for text in [id.to_string(), id.simple().to_string(), id.urn().to_string(), id.braced().to_string()] {
            assert_eq!(NameText::new(text.as_str()), Err(InvalidName::ReadsAsId(text)));
        }
        assert_eq!(NameText::new(""), Err(InvalidName::Empty));
        assert_eq!(NameText::new("a").map(|n| n.to_string()), Ok("a".to_owned()));
    }
}
