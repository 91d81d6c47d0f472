//! A session's core: asks the tools about each chunk, folds what they say, and sends the result.
//!
//! Its messages come in families, each with a lane of its own: what tools say (large, before all else), client data
//! (chunks of the file, in bursts, and only as many as were granted), system events (checkpoints, when there is nothing
//! better to do), and changes of the context, which throw out what waits for the old content.

use super::background::{Background, Order};
use super::persistence::{Checkpoint, Keep, Load, Persistence};
use super::{Context as Asking, Read, Session, WINDOW};
use crate::files::Skip;
use crate::report::{FileReport, Summariser};
use crate::text::{Absorbed, Analysis, Chunk, Part, Tool};
use crate::tools::{MODEL, Request, Summarise, ask};
use restante::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a file that changes while it is read is begun anew.
const CHANGES_MAX: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    args: CoreArgs,
    asking: Asking,
    analysis: Analysis,
    /// Where the file ends, once that is known.
    end: Option<u64>,
    /// Chunks that the tools have been asked about and that are not folded yet: where each ends.
    under_way: Vec<u64>,
    /// How many messages this incarnation has begun.
    begun: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct CoreArgs {
    pub(crate) session: Arc<Session>,
    pub(crate) persistence: ServerRef<Persistence>,
    pub(crate) background: ServerRef<Background>,
    pub(crate) results: mpsc::Sender<Read>,
}

/// What a core is told.
#[derive(Debug)]
pub(crate) enum Tell {
    Client { asking: Asking, data: ClientData },
    Tool(Box<ToolResult>),
    System(SystemEvent),
    Command(ContextChange),
}

/// From the file: many, small, in bursts.
#[derive(Debug)]
pub(crate) enum ClientData {
    Chunk(Chunk),
    End(u64),
    Trouble(Skip),
}

/// From the tools: large, and before all else.
#[derive(Debug)]
pub(crate) struct ToolResult {
    pub(crate) asking: Asking,
    /// `None`: the tool has given up.
    pub(crate) part: Option<Part>,
}

/// From the session itself: few, and of no hurry.
#[derive(Debug)]
pub(crate) enum SystemEvent {
    Checkpoint,
}

/// What waits for the old content is for nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContextChange;

/// What a core is asked.
pub(crate) enum Ask {
    /// Where to go on in the file, and with how many chunks.
    Where(Reply<Position>),
}

#[derive(Debug)]
pub(crate) struct Position {
    pub(crate) asking: Asking,
    pub(crate) from: u64,
    pub(crate) chunks: u32,
}

impl GenServer for Core {
    type Args = CoreArgs;
    type Call = Ask;
    type Cast = Tell;
    type Info = ();

    async fn init(args: &CoreArgs, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        // What a former incarnation was sent is either in the checkpoint or asked for again.
        ctx.purge(|message| !matches!(message, Message::Call(_) | Message::Cast(Tell::Command(_))));
        let content = args.session.content.load(Ordering::Acquire);
        let last = args.persistence.call(Load).await?;
        let analysis = last.filter(|last| last.content == content).map(|last| last.analysis);
        Ok(Init::ok(Self {
            args: args.clone(),
            asking: Asking { incarnation: ctx.incarnation(), content },
            analysis: analysis.unwrap_or_default(),
            end: None,
            under_way: Vec::new(),
            begun: 0,
        }))
    }

    async fn handle_call(&mut self, Ask::Where(reply): Ask, ctx: &mut Context<Self>) -> Step {
        // A fresh reader: what the one before had been granted is not coming, and what it had sent comes again.
        ctx.purge(|message| matches!(message, Message::Cast(Tell::Client { .. })));
        self.under_way.clear();
        self.end = None;
        reply.send(Position { asking: self.asking, from: self.folded(), chunks: WINDOW });
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, tell: Tell, ctx: &mut Context<Self>) -> Step {
        self.args.session.strikes.on_message("core", &self.args.session.file.name, self.begun);
        self.begun += 1;
        match tell {
            Tell::Client { asking, data } if asking == self.asking => self.client(data, ctx).await,
            Tell::Tool(result) if result.asking == self.asking => self.tool(*result).await,
            // Of a context that is no longer.
            Tell::Client { .. } | Tell::Tool(_) => Ok(Next::go()),
            Tell::System(SystemEvent::Checkpoint) => {
                self.save();
                Ok(Next::go())
            }
            Tell::Command(ContextChange) => self.switch(ctx).await,
        }
    }
}

impl Core {
    /// Up to where all tools have been heard.
    fn folded(&self) -> u64 {
        Tool::ALL.into_iter().map(|tool| self.analysis.next(tool)).min().unwrap_or(0)
    }

    async fn client(&mut self, data: ClientData, ctx: &mut Context<Self>) -> Step {
        match data {
            ClientData::Chunk(chunk) => {
                self.under_way.push(chunk.end());
                for tool in Tool::ALL {
                    let session = Arc::clone(&self.args.session);
                    let request = Request { session, asking: self.asking, chunk: chunk.clone() };
                    ask(tool, request).await?;
                }
                Ok(Next::go())
            }
            ClientData::End(end) => {
                self.end = Some(end);
                self.finish_if_done().await
            }
            ClientData::Trouble(Skip::Changed) => self.change(ctx).await,
            ClientData::Trouble(why) => self.send(Err(why)).await,
        }
    }

    async fn tool(&mut self, result: ToolResult) -> Step {
        let Some(part) = result.part else {
            return self.send(Err(Skip::Unreadable("a tool fails over it again and again".to_owned()))).await;
        };
        match self.analysis.absorb(part) {
            Absorbed::Taken | Absorbed::Again => {}
            // It cannot be: tools keep the order, and a context begins where the last one was folded up to.
            Absorbed::Gap => return Err(ExitReason::error("a tool's answer is missing")),
        }
        let folded = self.folded();
        let before = self.under_way.len();
        self.under_way.retain(|end| *end > folded);
        let chunks = u32::try_from(before - self.under_way.len()).unwrap_or(0);
        if chunks > 0 && self.end.is_none() {
            self.order(Order::Grant { asking: self.asking, chunks }).await?;
        }
        self.finish_if_done().await
    }

    /// The file has changed; one that keeps changing is left out.
    async fn change(&mut self, ctx: &mut Context<Self>) -> Step {
        if self.args.session.changes.fetch_add(1, Ordering::AcqRel) >= CHANGES_MAX {
            return self.send(Err(Skip::Changed)).await;
        }
        self.switch(ctx).await
    }

    /// The file is read anew: nothing that was for the old content counts.
    async fn switch(&mut self, ctx: &mut Context<Self>) -> Step {
        let content = self.args.session.content.fetch_add(1, Ordering::AcqRel) + 1;
        ctx.purge(|message| matches!(message, Message::Cast(Tell::Client { .. } | Tell::Tool(_))));
        self.asking = Asking { incarnation: ctx.incarnation(), content };
        self.analysis = Analysis::default();
        self.end = None;
        self.under_way.clear();
        self.order(Order::Switch { asking: self.asking, chunks: WINDOW }).await?;
        Ok(Next::go())
    }

    async fn order(&self, order: Order) -> Result<(), ExitReason> {
        self.args.background.send(order).await.map_err(|e| ExitReason::error(e.to_string()))
    }

    fn save(&self) {
        let checkpoint = Checkpoint { content: self.asking.content, analysis: self.analysis.clone() };
        // The next one comes soon: it need not wait for room.
        let _ = self
            .args
            .persistence
            .cast_with(Keep::Save(Box::new(checkpoint)), SendOptions::new().key(Keep::KEY));
    }

    async fn finish_if_done(&mut self) -> Step {
        if self.end != Some(self.folded()) {
            return Ok(Next::go());
        }
        // A crash from here on need not read the file again.
        self.save();
        let findings = self.analysis.clone().finish();
        let digest = findings.digest.clone();
        let mut report = FileReport::new(self.args.session.file.name.clone(), findings);
        // Where nothing can be taken out, there is nothing to ask about.
        if !digest.is_empty()
            && let Ok(model) = MODEL.of(&self.args.session.registry).whereis()
        {
            let name = self.args.session.file.name.clone();
            let asked = model.call(|reply| Summarise { name, digest, reply });
            match asked.timeout(Duration::MAX).await? {
                Ok(summary) => {
                    report.summary = summary;
                    report.summarised_by = Summariser::Model;
                }
                Err(why) => report.model_error = Some(why),
            }
        }
        self.send(Ok(report)).await
    }

    /// The result, and the end of the session.
    async fn send(&mut self, read: Result<FileReport, Skip>) -> Step {
        let _ = self.args.results.send((self.args.session.file.name.clone(), read)).await;
        Ok(Next::stop())
    }
}
