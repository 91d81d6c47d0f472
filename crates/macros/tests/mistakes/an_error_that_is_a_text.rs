use restante::prelude::*;

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[cast]
    fn add(&mut self, n: u64) -> Result<(), String> {
        self.0 = self.0.checked_add(n).ok_or("too big")?;
        Ok(())
    }
    #[info]
    fn tick(&mut self) -> Result<(), &'static str> {
        Err("too late")
    }
}

fn main() {}
