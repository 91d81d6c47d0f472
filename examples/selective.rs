//! Selective receive: a handler waits for one message, while others wait for their turn.
//!
//! A buyer asks a shop for a price by cast, and the shop answers by an info. Inside its handler the buyer waits for that
//! answer only, with a time limit; the errands that come meanwhile stay in the mailbox, in order. A mark, taken before
//! the question, spares it looking at what was there before: such a message cannot be the answer.
//!
//! ```sh
//! cargo run -p restante-examples --example selective
//! ```
//!
//! What you will see: the answer is found behind 10,000 errands; a question that is never answered ends in time; and the
//! errands are done afterwards, all of them and in order.
#![expect(clippy::print_stdout, reason = "an example prints")]

use restante::prelude::*;
use std::time::Duration;

/// Knows what things cost.
struct Shop;

/// A question, and where the answer goes.
struct Question {
    thing: &'static str,
    answer_to: Recipient<Price>,
}

/// An answer: comes to the buyer as an info.
struct Price {
    thing: &'static str,
    cents: u32,
}

impl GenServer for Shop {
    type Args = ();
    type Call = ();
    type Cast = Question;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Shop))
    }

    async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step {
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, question: Question, _: &mut Context<Self>) -> Step {
        // Of what it does not sell it says nothing.
        if question.thing == "bread"
            && let Err(refused) = question.answer_to.try_send(Price { thing: "bread", cents: 310 })
        {
            println!("the buyer takes no answers: {refused}");
        }
        Ok(Next::go())
    }
}

struct Buyer {
    shop: ServerRef<Shop>,
    errands: u32,
    in_order: bool,
}

enum Ask {
    PriceOf(&'static str, Reply<Option<u32>>),
    Errands(Reply<(u32, bool)>),
}

/// An errand, numbered in the order in which they were sent.
struct Errand(u32);

impl GenServer for Buyer {
    type Args = ServerRef<Shop>;
    type Call = Ask;
    type Cast = Errand;
    type Info = Price;

    async fn init(shop: &ServerRef<Shop>, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Buyer { shop: shop.clone(), errands: 0, in_order: true }))
    }

    async fn handle_call(&mut self, call: Ask, ctx: &mut Context<Self>) -> Step {
        match call {
            Ask::PriceOf(thing, reply) => {
                // First the mark, then the question: whatever answers it comes after the mark.
                let mark = ctx.mark();
                let answer_to = ctx.server().info_recipient();
                self.shop.send(Question { thing, answer_to }).await?;
                let limit = Duration::from_millis(200);
                let wanted =
                    |message: &Message<Self>| matches!(message, Message::Info(p) if p.thing == thing);
                let cents = match ctx.receive_since(mark, limit, wanted).await {
                    Ok(Message::Info(price)) => Some(price.cents),
                    Err(ReceiveError::Timeout) => None,
                    other => return Err(ExitReason::error(format!("no answer, but {other:?}"))),
                };
                reply.send(cents);
            }
            Ask::Errands(reply) => {
                reply.send((self.errands, self.in_order));
            }
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, Errand(number): Errand, _: &mut Context<Self>) -> Step {
        self.in_order &= number == self.errands;
        self.errands += 1;
        Ok(Next::go())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = start::<Shop>(()).await?;
    // Room for all that waits: what is skipped keeps its room.
    let server = Server::<Buyer>::settings().capacity(20_000).build()?;
    let buyer = server.address();

    // The questions come first, then 10,000 errands, then somebody starts to work.
    let questions = async {
        tokio::join!(
            buyer.call(|reply| Ask::PriceOf("bread", reply)),
            buyer.call(|reply| Ask::PriceOf("the moon", reply)),
        )
    };
    let work = async {
        for number in 0..10_000 {
            buyer.send(Errand(number)).await?;
        }
        server.start(shop).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let ((bread, moon), worked) = tokio::join!(questions, work);
    worked?;
    println!("bread: {:?} cents", bread?);
    println!("the moon: {:?}, after the time limit", moon?);

    let (errands, in_order) = buyer.call(Ask::Errands).await?;
    println!("errands done afterwards: {errands}, in order: {in_order}");
    Ok(())
}
