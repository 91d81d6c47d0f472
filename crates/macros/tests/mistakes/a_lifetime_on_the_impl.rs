use restante::prelude::*;

struct Counter<'a>(&'a str);

#[gen_server]
impl<'a> Counter<'a> {
    #[init]
    fn init() -> Self {
        Self("")
    }
}

fn main() {}
