use restante::protocol;

#[protocol]
trait Account {
    #[call]
    fn balance(&self) -> u64 {
        0
    }
    fn deposit(&mut self, n: u64);
    #[info]
    fn tick(&mut self);
}

#[protocol]
trait Shelf<T> {
    #[call]
    fn get(&self) -> T;
}

#[protocol]
struct Purse;

fn main() {}
