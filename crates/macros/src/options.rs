//! What stands in the brackets of `#[gen_server(..)]` itself.

use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitStr, Path, Result, Token, Visibility, parse_quote};

/// What was asked for, or the defaults.
pub(crate) struct Options {
    /// Of the messages and the handle. (The compiler wants them to be as visible as the server, whose visibility is not seen
    /// from its impl: so `pub`, unless told otherwise.)
    pub(crate) vis: Visibility,
    /// Where the framework is found.
    pub(crate) krate: Path,
    /// The handle's name, where it is not the server's with `Handle` after it.
    pub(crate) handle: Option<Ident>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self { vis: parse_quote!(pub), krate: parse_quote!(::restante), handle: None };
        while !input.is_empty() {
            options.one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn one(&mut self, input: ParseStream<'_>) -> Result<()> {
        if input.peek(Token![pub]) {
            self.vis = input.parse()?;
        } else if input.peek(Token![crate]) {
            input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            self.krate = input.parse::<LitStr>()?.parse_with(Path::parse_mod_style)?;
        } else {
            let name: Ident = input.parse()?;
            if name != "handle" {
                let message = format!(
                    "`gen_server` knows no option `{name}`: it takes a visibility (`pub`), `handle = Name` and \
                     `crate = \"path\"`"
                );
                return Err(syn::Error::new(name.span(), message));
            }
            input.parse::<Token![=]>()?;
            self.handle = Some(input.parse()?);
        }
        Ok(())
    }
}
