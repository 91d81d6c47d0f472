//! What the program is asked to do.

use crate::chaos::Rate;
use crate::files::Root;
use crate::model::Endpoint;
use clap::Parser;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The arguments could not be understood, or PATH is not there.
pub(crate) const EXIT_USAGE: u8 = 2;

/// The results could not be written.
pub(crate) const EXIT_OUTPUT: u8 = 1;

/// It was interrupted; what was finished is printed.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Reads text files, one supervised agent session each: how many words, which terms, and a summary of three sentences.
#[derive(Debug, Parser)]
#[command(name = "agents", version, max_term_width = 100)]
pub(crate) struct Options {
    /// A folder or a file; without it, this repository's own docs/ and crates/
    pub(crate) path: Option<PathBuf>,

    /// Prints the results alone, as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Makes tools and sessions panic: the probability (0 to 1) for each message they handle
    #[arg(long, value_name = "RATE", default_value = "0", hide_default_value = true)]
    pub(crate) chaos: Rate,

    /// Repeats the panics of an earlier run; without it, a seed is chosen, and printed
    #[arg(long, value_name = "N", requires = "chaos")]
    pub(crate) seed: Option<u64>,

    /// Kills a supervisor with all that is below it, once, midway
    #[arg(long)]
    pub(crate) kill_supervisor: bool,

    /// How many files are read at the same time
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) sessions: NonZeroUsize,

    /// Lets a model summarise: the base address of an API with chat completions, over plain HTTP
    #[arg(long, value_name = "http://HOST:PORT/v1")]
    pub(crate) model_url: Option<Endpoint>,

    /// The name of the model
    #[arg(long, value_name = "NAME", default_value = "default", requires = "model_url")]
    pub(crate) model: String,

    /// The environment variable that holds the key for the model, if it wants one
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY", requires = "model_url")]
    pub(crate) model_key_env: String,

    /// How many seconds the model may take for one answer
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, requires = "model_url")]
    pub(crate) model_timeout: Duration,

    /// How many questions the model is asked at the same time
    #[arg(long, value_name = "N", default_value = "4", requires = "model_url")]
    pub(crate) model_concurrency: NonZeroUsize,
}

impl Options {
    /// Where to look for files.
    pub(crate) fn roots(&self) -> Vec<Root> {
        if let Some(path) = &self.path {
            return vec![Root { path: path.clone(), prefix: String::new() }];
        }
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let own = |name: &str| Root { path: repository.join(name), prefix: name.to_owned() };
        vec![own("crates"), own("docs")]
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let limit = Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())?;
    if limit.is_zero() { Err("no time at all".to_owned()) } else { Ok(limit) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from([&["agents"], arguments].concat())
    }

    #[test]
    fn the_options_do_not_contradict_each_other() {
        Options::command().debug_assert();
    }

    #[test]
    fn without_arguments_the_repository_is_read() {
        let options = parse(&[]).expect("nothing is needed");
        assert!(options.roots().iter().all(|root| root.path.is_dir()));
        assert!(options.chaos.is_never() && options.model_url.is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_exit_code_2() {
        let wrong: [&[&str]; 9] = [
            &["--chaos", "1.5"],
            &["--chaos", "often"],
            &["--seed", "1"],
            &["--sessions", "0"],
            &["--model", "x"],
            &["--model-url", "here"],
            &["--model-url", "https://example.com/v1"],
            &["--model-url", "http://localhost/v1", "--model-timeout", "0"],
            &["one", "two"],
        ];
        for arguments in wrong {
            let refused = parse(arguments).expect_err("it makes no sense");
            assert_eq!(refused.exit_code(), i32::from(EXIT_USAGE), "{arguments:?}");
        }
        assert!(parse(&["x", "--chaos", "0.1", "--seed", "3", "--json", "--kill-supervisor"]).is_ok());
    }
}
