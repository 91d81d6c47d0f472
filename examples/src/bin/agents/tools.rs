//! The tools as servers of their own, under a supervisor of their own: each reads one chunk after the other for all sessions.
//!
//! A tool that crashes over a chunk is given it again, in front of all that waits; one that crashes over the same chunk
//! again and again gives it up, and its session is told by way of the dead letters.
//!
//! Whoever wants a tool looks it up by its name, in the registry of the run; a tool looks up whom it answers likewise.

use crate::model::Model;
use crate::session::{Context as Asking, Session, Tell, ToolResult};
use crate::text::{Chunk, Tool};
use restante::prelude::*;
use restante::registry::RegisterError;
use restante::task::TaskSupervisor;
use restante::{DeadLetter, Recipient};
use std::sync::Arc;
use std::time::Duration;

/// How often a chunk is given to a tool again.
const AGAIN: u32 = 8;

const COUNTER: Name<ToolServer> = Name::new("tool/counter");
const KEYWORDS: Name<ToolServer> = Name::new("tool/keywords");
const SENTENCES: Name<ToolServer> = Name::new("tool/sentences");
/// Who asks a model, where there is one.
pub(crate) const MODEL: Name<Asker> = Name::new("model");

/// Where a tool is found.
fn name_of(tool: Tool) -> Name<ToolServer> {
    match tool {
        Tool::Counter => COUNTER,
        Tool::Keywords => KEYWORDS,
        Tool::Sentences => SENTENCES,
    }
}

/// Asks a tool; it answers to the core.
pub(crate) async fn ask(tool: Tool, request: Request) -> Result<(), ExitReason> {
    let found = name_of(tool).of(&request.session.registry).whereis();
    let server = found.map_err(|e| ExitReason::error(e.to_string()))?;
    server.send(request).await.map_err(|e| ExitReason::error(e.to_string()))
}

/// A tool that serves.
#[derive(Debug)]
pub(crate) struct ToolServer(Tool);

/// A chunk to be read.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) session: Arc<Session>,
    pub(crate) asking: Asking,
    pub(crate) chunk: Chunk,
}

impl Request {
    /// Answers, before all else that the core is told. A core that has gone wants no answer.
    async fn answer(self, part: Option<crate::text::Part>) {
        let Ok(core) = self.session.core() else { return };
        let result = Tell::Tool(Box::new(ToolResult { asking: self.asking, part }));
        let _ = core.send_with(result, SendOptions::new().lane(Lane::High)).await;
    }
}

impl GenServer for ToolServer {
    type Args = Tool;
    type Call = std::convert::Infallible;
    type Cast = Request;
    type Info = ();

    async fn init(tool: &Tool, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self(*tool)))
    }

    async fn handle_call(&mut self, never: std::convert::Infallible, _: &mut Context<Self>) -> Step {
        match never {}
    }

    async fn handle_cast(&mut self, request: Request, _: &mut Context<Self>) -> Step {
        let name = &request.session.file.name;
        request.session.strikes.on_message(self.0.name(), name, request.chunk.start);
        let part = self.0.read(&request.chunk);
        request.answer(Some(part)).await;
        Ok(Next::go())
    }
}

impl Redeliver for ToolServer {
    fn retry_call(never: &std::convert::Infallible) -> Option<std::convert::Infallible> {
        match *never {}
    }
    fn retry_cast(request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

/// Tells sessions of what their tools have given up.
#[derive(Debug)]
struct Undertaker;

impl GenServer for Undertaker {
    type Args = ();
    type Call = std::convert::Infallible;
    type Cast = DeadLetter<Message<ToolServer>>;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, never: std::convert::Infallible, _: &mut Context<Self>) -> Step {
        match never {}
    }

    async fn handle_cast(&mut self, letter: Self::Cast, _: &mut Context<Self>) -> Step {
        if let Some(Message::Cast(request)) = letter.body {
            request.answer(None).await;
        }
        Ok(Next::go())
    }
}

/// Asks the model, for many sessions at the same time.
#[derive(Debug)]
pub(crate) struct Asker(AskerArgs);

/// The model, and whoever looks after the questions that are under way: both outlive the asker's incarnations.
#[derive(Clone, Debug)]
pub(crate) struct AskerArgs {
    model: Arc<Model>,
    tasks: TaskSupervisor,
}

/// A question to the model. (The error is told as text: it is only for people.)
pub(crate) struct Summarise {
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) reply: Reply<Result<Vec<String>, String>>,
}

impl GenServer for Asker {
    type Args = AskerArgs;
    type Call = Summarise;
    type Cast = ();
    type Info = ();

    async fn init(args: &AskerArgs, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self(args.clone())))
    }

    async fn handle_call(
        &mut self,
        Summarise { name, digest, reply }: Summarise,
        _: &mut Context<Self>,
    ) -> Step {
        let model = Arc::clone(&self.0.model);
        self.0.tasks.start_child(async move {
            let summary = model.summarise(&name, &digest).await;
            reply.send(summary.map_err(|e| e.to_string()));
            Ok(())
        })?;
        Ok(Next::go())
    }
}

/// The tools' supervisor to be; the tools have their names already.
///
/// # Errors
///
/// A name was not to be had.
pub(crate) async fn tools(
    mut supervisor: Supervisor,
    registry: &Registry,
    sessions: usize,
    model: Option<Model>,
) -> Result<Supervisor, RegisterError> {
    let undertaker = Server::<Undertaker>::new("undertaker");
    let letters: Recipient<DeadLetter<Message<ToolServer>>> = undertaker.address().cast_recipient();
    supervisor = supervisor.child(undertaker.child(()));
    // Room for all that may be under way: a core that asks does not wait.
    let room = sessions.saturating_mul(crate::session::WINDOW as usize).max(64);
    for tool in Tool::ALL {
        let server = Server::<ToolServer>::settings()
            .name(tool.name())
            .capacity(room)
            .in_hand(InHand::Redeliver { max: AGAIN, backoff: Duration::ZERO })
            .dead_letters(letters.clone())
            .build()
            .expect("sound settings");
        name_of(tool).of(registry).register(&server.address()).await?;
        supervisor = supervisor.child(server.child(tool));
    }
    if let Some(model) = model {
        let server = Server::<Asker>::new("model");
        MODEL.of(registry).register(&server.address()).await?;
        let args = AskerArgs { model: Arc::new(model), tasks: TaskSupervisor::new() };
        supervisor = supervisor.child(server.child(args));
    }
    Ok(supervisor)
}
