//! The attributes that say what a method handles: `#[call]`, `#[init]` and so on.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, Result, Token};

use crate::errors::Errors;

/// What a method is to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Init,
    Call,
    Cast,
    Info,
    Continue,
    Timeout,
    Terminate,
}

impl Kind {
    /// With the attribute's name. (`continue` is a keyword, which an attribute can only be as `r#continue`.)
    const ALL: [(&str, Self); 7] = [
        ("init", Self::Init),
        ("call", Self::Call),
        ("cast", Self::Cast),
        ("info", Self::Info),
        ("then_continue", Self::Continue),
        ("timeout", Self::Timeout),
        ("terminate", Self::Terminate),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn of(path: &Path) -> Option<Self> {
        let name = path.get_ident()?;
        if name == "r#continue" {
            return Some(Self::Continue);
        }
        Self::ALL.iter().find(|(known, _)| name == known).map(|(_, kind)| *kind)
    }
}

/// A mark, with what stands in its brackets.
pub(crate) struct Mark {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
    /// Of an info: how often it comes by itself, as an expression of type `Duration`.
    pub(crate) every: Option<TokenStream>,
    /// Of a call or a cast: the protocol that it is a part of.
    pub(crate) protocol: Option<Path>,
}

impl Mark {
    /// Takes the mark out of a method's attributes.
    pub(crate) fn take(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Option<Self> {
        let mut found: Option<Self> = None;
        attrs.retain(|attr| {
            let Some(kind) = Kind::of(attr.path()) else {
                if let Some(meant) = misspelt(attr.path()) {
                    let message = format!("there is no such attribute: is `#[{meant}]` meant?");
                    errors.push(Error::new(attr.path().span(), message));
                    return false;
                }
                return true;
            };
            match (&found, Self::parse(kind, attr)) {
                (Some(first), _) => {
                    let message = format!(
                        "this method has a mark already, `#[{}]`: a method handles one sort of message",
                        first.kind.name()
                    );
                    errors.push(Error::new(attr.path().span(), message));
                }
                (None, Ok(mark)) => found = Some(mark),
                (None, Err(e)) => errors.push(e),
            }
            false
        });
        found
    }

    fn parse(kind: Kind, attr: &Attribute) -> Result<Self> {
        let mut mark = Self { kind, span: attr.path().span(), every: None, protocol: None };
        match &attr.meta {
            Meta::Path(_) => {}
            Meta::List(list) => list.parse_args_with(|input: ParseStream<'_>| mark.options(input))?,
            Meta::NameValue(_) => return Err(mark.no_option(attr.span())),
        }
        Ok(mark)
    }

    fn options(&mut self, input: ParseStream<'_>) -> Result<()> {
        let name: Ident = input.parse()?;
        match self.kind {
            Kind::Info if name == "every" => {
                input.parse::<Token![=]>()?;
                self.every = Some(duration(&input.parse()?)?);
            }
            Kind::Call | Kind::Cast if name == "protocol" => {
                input.parse::<Token![=]>()?;
                self.protocol = Some(input.call(Path::parse_mod_style)?);
            }
            _ => return Err(self.no_option(name.span())),
        }
        Ok(())
    }

    fn no_option(&self, span: Span) -> Error {
        let message = match self.kind {
            Kind::Info => {
                "`#[info]` takes one option, how often it comes by itself: `#[info(every = \"1s\")]`".into()
            }
            Kind::Call | Kind::Cast => {
                format!("`#[{}]` takes one option, `protocol = Name`", self.kind.name())
            }
            _ => format!("`#[{}]` takes no options", self.kind.name()),
        };
        Error::new(span, message)
    }
}

/// `"250ms"`, or an expression of type `Duration`.
fn duration(expr: &Expr) -> Result<TokenStream> {
    let Expr::Lit(ExprLit { lit, .. }) = expr else { return Ok(quote!(#expr)) };
    let millis = match lit {
        Lit::Str(text) => millis(text),
        _ => None,
    };
    let Some(millis) = millis else {
        let message = "a time is a whole number with a unit, such as \"250ms\", \"1s\", \"5m\" or \"1h\", or an \
                       expression of type `Duration`";
        return Err(Error::new(lit.span(), message));
    };
    Ok(quote!(::core::time::Duration::from_millis(#millis)))
}

fn millis(text: &LitStr) -> Option<u64> {
    let text = text.value();
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let factor = match unit.trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|millis| *millis > 0)
}

/// The mark that an attribute which exists nowhere is probably meant to be.
fn misspelt(path: &Path) -> Option<&'static str> {
    /// What others call these, or what the trait's methods are called.
    const OTHERS: [(&str, &str); 6] = [
        ("handle_call", "call"),
        ("handle_cast", "cast"),
        ("handle_info", "info"),
        ("handle_continue", "then_continue"),
        ("handle_timeout", "timeout"),
        ("idle_timeout", "timeout"),
    ];
    let name = path.get_ident()?.to_string();
    if let Some((_, meant)) = OTHERS.iter().find(|(other, _)| name == *other) {
        return Some(meant);
    }
    // A letter too many, too few or wrong. (So `cold`, which is an attribute, is not a `call`.)
    Kind::ALL.iter().map(|(known, _)| *known).find(|known| one_letter_off(&name, known))
}

fn one_letter_off(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[same..], &b[same..]);
    match (a, b) {
        ([], [_]) | ([_], []) => true,
        ([_, a @ ..], [_, b @ ..]) if a == b => true,
        ([_, rest @ ..], b) if rest == b => true,
        (a, [_, rest @ ..]) => rest == a,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn attributes_that_are_one_letter_off_are_known() {
        let meant = |name: &str| misspelt(&syn::parse_str(name).expect("a path"));
        assert_eq!(meant("calls"), Some("call"));
        assert_eq!(meant("cal"), Some("call"));
        assert_eq!(meant("cats"), None, "two letters");
        assert_eq!(meant("init_"), Some("init"));
        assert_eq!(meant("ifno"), None, "two letters");
        assert_eq!(meant("handle_info"), Some("info"));
        for real in
            ["cold", "inline", "test", "must_use", "allow", "doc", "instrument", "tracing::instrument"]
        {
            assert_eq!(meant(real), None, "{real}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        let time = |text: &str| millis(&LitStr::new(text, Span::call_site()));
        assert_eq!(time("250ms"), Some(250));
        assert_eq!(time("1s"), Some(1000));
        assert_eq!(time("5 m"), Some(300_000));
        assert_eq!(time("2h"), Some(7_200_000));
        for wrong in
            ["", "1", "s", "1.5s", "-1s", "0s", "1 day", "99999999999999999999s", "18446744073709551615h"]
        {
            assert_eq!(time(wrong), None, "{wrong}");
        }
        assert!(duration(&parse_quote!(5)).is_err());
        assert!(duration(&parse_quote!(Self::PERIOD)).is_ok());
    }
}
