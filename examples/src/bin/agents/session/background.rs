//! Reads a session's file, one granted chunk after the other, and beats the time for its checkpoints.

use super::core::{Ask, ClientData, Core, Position, SystemEvent, Tell};
use super::{Context as Asking, Session};
use crate::files::{Reader, Skip};
use restante::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// How often a core is told to save what it knows.
const BEAT: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(crate) struct Background {
    args: BackgroundArgs,
    asking: Asking,
    /// Where to go on in the file.
    from: u64,
    reader: Option<Reader>,
}

#[derive(Clone, Debug)]
pub(crate) struct BackgroundArgs {
    pub(crate) session: Arc<Session>,
    pub(crate) core: ServerRef<Core>,
}

/// What a core tells it.
#[derive(Debug)]
pub(crate) enum Order {
    /// So many chunks more may be sent.
    Grant { asking: Asking, chunks: u32 },
    /// The file is another: it is read from its beginning, and so many chunks may be sent.
    Switch { asking: Asking, chunks: u32 },
}

impl GenServer for Background {
    type Args = BackgroundArgs;
    type Call = std::convert::Infallible;
    type Cast = Order;
    /// A beat.
    type Info = ();

    async fn init(args: &BackgroundArgs, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        ctx.send_every(Every::FixedDelay(BEAT), || ());
        // Grants of a core that is gone are not for this reader.
        ctx.purge(|_| true);
        let me = Self { args: args.clone(), asking: Asking::default(), from: 0, reader: None };
        Ok(Init::then_continue(me))
    }

    /// Asks the core where to go on. (Not in `init`: a core that is about to end must not be waited for by who is starting.)
    async fn handle_continue(&mut self, _: &mut Context<Self>) -> Step {
        let Position { asking, from, chunks } = self.args.core.call(Ask::Where).await?;
        self.asking = asking;
        self.from = from;
        self.send(chunks).await
    }

    async fn handle_call(&mut self, never: std::convert::Infallible, _: &mut Context<Self>) -> Step {
        match never {}
    }

    async fn handle_cast(&mut self, order: Order, _: &mut Context<Self>) -> Step {
        match order {
            Order::Grant { asking, chunks } if asking == self.asking => self.send(chunks).await,
            // For a core that is gone, or a content that is no longer.
            Order::Grant { .. } => Ok(Next::go()),
            Order::Switch { asking, chunks } => {
                self.asking = asking;
                self.from = 0;
                self.reader = None;
                self.send(chunks).await
            }
        }
    }

    async fn handle_info(&mut self, (): (), _: &mut Context<Self>) -> Step {
        let beat = Tell::System(SystemEvent::Checkpoint);
        // A core that is too busy to take it is not idle, and will be told again.
        let _ = self.args.core.cast_with(beat, SendOptions::new().lane(Lane::Low));
        Ok(Next::go())
    }
}

impl Background {
    /// Sends so many chunks, or what else there is to say of the file.
    async fn send(&mut self, chunks: u32) -> Step {
        for _ in 0..chunks {
            let session = Arc::clone(&self.args.session);
            session.strikes.on_message("background", &session.file.name, self.from);
            match self.next().await {
                Ok(Some(chunk)) => {
                    self.from = chunk.end();
                    session.on_read(self.from);
                    self.tell(ClientData::Chunk(chunk)).await?;
                }
                Ok(None) => {
                    self.tell(ClientData::End(self.from)).await?;
                    break;
                }
                Err(why) => {
                    self.reader = None;
                    self.tell(ClientData::Trouble(why)).await?;
                    break;
                }
            }
        }
        Ok(Next::go())
    }

    async fn next(&mut self) -> Result<Option<crate::text::Chunk>, Skip> {
        if self.reader.is_none() {
            let session = &self.args.session;
            let reader = Reader::open_at(&session.file.path, self.from).await?;
            let mut mark = session.mark.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match &*mark {
                Some((content, known)) if *content == self.asking.content => {
                    if *known != reader.mark() {
                        return Err(Skip::Changed);
                    }
                }
                _ => *mark = Some((self.asking.content, reader.mark())),
            }
            drop(mark);
            self.reader = Some(reader);
        }
        match &mut self.reader {
            Some(reader) => reader.next().await,
            None => Ok(None),
        }
    }

    async fn tell(&self, data: ClientData) -> Result<(), ExitReason> {
        let asking = self.asking;
        self.args.core.send(Tell::Client { asking, data }).await.map_err(|e| ExitReason::error(e.to_string()))
    }
}
