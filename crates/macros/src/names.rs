//! Names: how a method's becomes a variant's, and which ones a handle cannot have.

use syn::Ident;
use syn::ext::IdentExt;

/// The methods that every reference has. One of the handle's with such a name could never be called: the reference's own
/// comes first. (A test compares the list with the source.)
pub(crate) const TAKEN: &[&str] = &[
    "about",
    "audit",
    "borrow",
    "borrow_mut",
    "call",
    "call_blocking",
    "call_blocking_timeout",
    "call_recipient",
    "cast",
    "cast_recipient",
    "cast_with",
    "clone",
    "clone_from",
    "clone_into",
    "close",
    "demonitor",
    "downgrade",
    "fmt",
    "id",
    "incarnation",
    "info",
    "info_recipient",
    "info_with",
    "into",
    "is_alive",
    "is_closed",
    "join",
    "kill",
    "last_exit",
    "link_end",
    "link_id",
    "monitor",
    "name",
    "request_stop",
    "reserve",
    "same_server",
    "send",
    "send_blocking",
    "send_info",
    "send_request",
    "send_request_with",
    "send_timeout",
    "send_with",
    "stats",
    "stop",
    "sys",
    "to_owned",
    "try_into",
    "type_id",
];

/// Without what makes a keyword a name.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// `get_all` becomes `GetAll`.
pub(crate) fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    for word in name.split('_') {
        let mut letters = word.chars();
        camel.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        camel.push_str(letters.as_str());
    }
    // The one keyword that this can make, and the one that no name can be made of; and nothing at all.
    if camel == "Self" || camel.is_empty() || camel.starts_with(|c: char| c.is_ascii_digit()) {
        camel.push('_');
        camel = format!("Message{camel}");
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_become_variants() {
        for (name, variant) in [
            ("get", "Get"),
            ("get_all", "GetAll"),
            ("_x", "X"),
            ("a__b", "AB"),
            ("self_", "MessageSelf_"),
            ("é", "É"),
        ] {
            assert_eq!(camel(name), variant);
        }
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(TAKEN.is_sorted());
    }

    /// The public methods of `ServerRef`, by what stands in the source of the crate that has it.
    fn methods_of_references() -> Vec<String> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../genserver/src");
        let mut folders = vec![std::path::PathBuf::from(source)];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the sources lie beside these") {
                let path = entry.expect("it can be listed").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let text = std::fs::read_to_string(&path).expect("it is text");
                    let file = syn::parse_file(&text).expect("it is Rust");
                    found.extend(file.items.iter().flat_map(public_methods));
                }
            }
        }
        found
    }

    fn public_methods(item: &syn::Item) -> Vec<String> {
        let syn::Item::Impl(block) = item else { return Vec::new() };
        if block.trait_.is_some() || !crate::types::is_called(&block.self_ty, "ServerRef") {
            return Vec::new();
        }
        let methods = block.items.iter().filter_map(|item| match item {
            syn::ImplItem::Fn(method) if matches!(method.vis, syn::Visibility::Public(_)) => {
                method.sig.receiver().map(|_| plain(&method.sig.ident))
            }
            _ => None,
        });
        methods.collect()
    }

    /// A method that references get must not hide one of a handle without a word.
    #[test]
    fn the_list_has_every_method_of_references() {
        let methods = methods_of_references();
        assert!(methods.len() > 30, "they were found: {methods:?}");
        for name in methods {
            assert!(
                TAKEN.contains(&&*name),
                "`{name}` is missing in the list of names that a handle cannot have"
            );
        }
    }
}
