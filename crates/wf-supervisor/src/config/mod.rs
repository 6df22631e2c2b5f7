//! `wf.toml`, environment and command line, layered into one set of settings.

mod document;
pub mod environ;
mod key_table;
mod layers;
pub mod project;
mod provider_table;
mod roles;
mod schema;
mod settings;

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use wf_providers::Dialect;

pub use environ::{Environ, ProcessEnviron};
pub use project::Project;
pub use schema::InputSource;
use schema::{FileConfig, WorkflowTable};
pub use settings::{PoolSettings, ProviderSettings, RoleSettings, Settings, Work, WorkflowSettings};

use crate::cli::RunArgs;
use crate::cli::value::{self, Limit, OutputMode, ProgressMode, WorkflowName};
use crate::duration;
use crate::exit::{Trouble, refused};
use crate::items::Pattern;
use crate::items::placeholders::Template;
use crate::keys::default_keys;
use layers::{Layers, Origin};

/// The largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// How long tests may run: less than the time without output after which a worker counts as hung.
const TEST_TIMEOUT: Duration = Duration::from_secs(4 * 60);
/// Choices of one invocation: they have options and variables, but do not stand in `wf.toml`.
const CHOICES: [&str; 6] = ["lines", "redo", "dry_run", "mock", "mock_profile", "name"];

/// Everything that does not depend on a run: pool and workflows.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Where things are.
    pub project: Project,
    /// The pool.
    pub pool: PoolSettings,
    file: FileConfig,
}

impl Configuration {
    /// Reads the configuration file, if there is one, and fills in what it leaves open.
    pub fn load(project: Project, environ: &dyn Environ) -> Result<Configuration, Trouble> {
        let file = match &project.config_file {
            Some(path) => {
                let shown = PathBuf::from(project.shown(path));
                FileConfig::read(&shown, &project.dir, &read_file(path)?)?
            }
            None => FileConfig::default(),
        };
        let mut providers: BTreeMap<String, ProviderSettings> =
            Dialect::ALL.into_iter().map(|d| (d.name().to_owned(), ProviderSettings::built_in(d))).collect();
        for (name, table) in &file.providers {
            let built_in = providers.get(name);
            let kind = table.kind.or(built_in.map(|p| p.kind)).unwrap_or(Dialect::OpenAi);
            let base_url = table.base_url.clone().unwrap_or_else(|| kind.default_base_url().to_owned());
            let network = table.network.clone();
            providers.insert(name.clone(), ProviderSettings { name: name.clone(), kind, base_url, network });
        }
        let keys = if file.keys.is_empty() { default_keys(environ) } else { file.keys.clone() };
        let pool = PoolSettings { providers, keys, limits: file.quota.clone() };
        Ok(Configuration { project, pool, file })
    }

    /// One built-in workflow with all its settings, and warnings about them.
    pub fn workflow(
        &self,
        name: WorkflowName,
        environ: &dyn Environ,
        mock: bool,
    ) -> Result<(WorkflowSettings, Vec<String>), Trouble> {
        let empty = WorkflowTable::default();
        let table = self.file.workflows.get(&name).unwrap_or(&empty);
        let roles = if mock {
            roles::mock_roles(table)
        } else {
            let mut with_keys: Vec<&str> = Vec::new();
            for key in self.pool.keys.iter().filter(|key| key.source.seems_present(environ)) {
                if !with_keys.contains(&key.provider.as_str()) {
                    with_keys.push(&key.provider);
                }
            }
            roles::choose(name, table, &self.pool.providers, &with_keys)?
        };
        let (input, output) = default_paths(name);
        let pattern = |text| Pattern::new(text).expect("the built-in patterns have {id}");
        let settings = WorkflowSettings {
            name,
            input: table.input.clone().unwrap_or_else(|| InputSource::File(pattern(input))),
            output: table.output.clone().unwrap_or_else(|| pattern(output)),
            max_iterations: table.max_iterations.unwrap_or(5),
            commit: table.commit.unwrap_or(false),
            drafter: roles.drafter,
            reviewer: roles.reviewer,
            prompts_dir: table.prompts.clone(),
            test_command: table.test_command.clone(),
            test_timeout: table.test_timeout.unwrap_or(TEST_TIMEOUT),
        };
        Ok((settings, roles.warnings))
    }

    /// Layers file, environment and options into the settings of one run.
    pub fn settings(&self, args: &RunArgs, environ: &dyn Environ) -> Result<Settings, Trouble> {
        let file_name =
            self.project.config_file.as_ref().map(|path| self.project.shown(path)).unwrap_or_default();
        let mut layers = Layers::new(environ, &self.file, file_name);
        let mut warnings = self.pool_warnings();
        warnings.extend(args.habits.notices(&args.command));

        let (max_parallel, _) =
            layers.one("max_parallel", None, value::max_parallel, 10, ToString::to_string)?;
        let (mut parallel, _) =
            layers.one("parallel", args.parallel, value::workers, 1, ToString::to_string)?;
        if parallel > max_parallel {
            warnings.push(format!(
                "{} workers are more than the cap of {max_parallel}: {max_parallel} are used \
                 (run.max_parallel in wf.toml raises it)",
                if parallel == u16::MAX { "so many".to_owned() } else { parallel.to_string() }
            ));
            parallel = max_parallel;
            layers.corrected("parallel", parallel.to_string());
        }
        let on = |set: bool| set.then_some(true);
        let show = |set: &bool| set.to_string();
        let mock = layers.choice("mock", on(args.mock), value::switch, show)?.unwrap_or(false);
        let profile = layers.choice(
            "mock_profile",
            args.mock_profile.clone(),
            |text| Ok(text.to_owned()),
            Clone::clone,
        )?;
        if profile.is_some() && !mock {
            return refused("--mock-profile says how the mock behaves: add --mock");
        }
        let is_command = !args.command.is_empty();
        let work = if is_command {
            layers.check("workflow", value::word::<WorkflowName>)?;
            Work::Command(Template::new(&args.command))
        } else {
            let (name, _) = layers.one(
                "workflow",
                args.workflow,
                value::word::<WorkflowName>,
                WorkflowName::Lld,
                WorkflowName::to_string,
            )?;
            let (workflow, more) = self.workflow(name, environ, mock)?;
            warnings.extend(more);
            if name == WorkflowName::Implement && workflow.test_command.is_none() {
                return refused(
                    "workflow implement runs tests and does not know how: write test_command into [workflow.implement] of \
                     wf.toml, such as test_command = [\"cargo\", \"test\"]",
                );
            }
            Work::Workflow(Box::new(workflow))
        };
        let show_time = |d: &Duration| duration::format(*d);
        let show_limit = |d: &Limit<Duration>| d.at().map_or_else(|| "off".to_owned(), duration::format);
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let default_idle = if is_command { Limit::Off } else { Limit::At(minutes(5)) };
        // What a command does is the user's, who knows no limit from `xargs` or a shell loop.
        let default_timeout = if is_command { Limit::Off } else { Limit::At(minutes(30)) };
        let (timeout, _) =
            layers.one("timeout", args.timeout, value::time_or_off, default_timeout, show_limit)?;
        let (idle_timeout, _) =
            layers.one("idle_timeout", args.idle_timeout, value::time_or_off, default_idle, show_limit)?;
        let (run_timeout, _) =
            layers.one("run_timeout", args.run_timeout, value::time_or_off, Limit::Off, show_limit)?;
        let (max_wait, _) =
            layers.one("max_wait", args.max_wait, value::time_or_zero, minutes(24 * 60), show_time)?;
        let (grace, _) =
            layers.one("grace", args.grace, value::time_or_zero, Duration::from_secs(5), show_time)?;
        let (call_timeout, _) = layers.one("call_timeout", None, value::time, minutes(4), show_time)?;
        let (max_retries, of_retries) =
            layers.one("max_retries", args.max_retries, value::positive_or_off, Limit::Off, |n| {
                n.at().map_or_else(|| "off".to_owned(), |n| n.to_string())
            })?;
        let (item_retries, _) =
            layers.one("item_retries", args.item_retries, value::count, 0, ToString::to_string)?;
        let tempfail = args.tempfail.clone();
        let (tempfail, _) =
            layers.one("tempfail", tempfail, value::exit_codes, value::ExitCodes::default(), |codes| {
                codes.to_string()
            })?;
        let (max_fail, _) =
            layers.one("max_fail", args.max_fail, value::positive_or_off, Limit::Off, |n| {
                n.at().map_or_else(|| "off".to_owned(), |n| n.to_string())
            })?;
        let (budget_tokens, of_budget) =
            layers.one("budget_tokens", args.budget_tokens, value::tokens_or_off, Limit::Off, |n| {
                n.at().map_or_else(|| "off".to_owned(), |n| n.to_string())
            })?;
        // In a file they may be meant for workflows.
        let is_typed = |origin: &Origin| matches!(origin, Origin::CommandLine | Origin::Variable(_));
        let in_vain = [
            ("--max-retries", max_retries.at().is_some() && is_typed(&of_retries)),
            ("--budget-tokens", budget_tokens.at().is_some() && is_typed(&of_budget)),
        ];
        let in_vain: Vec<&str> =
            in_vain.into_iter().filter_map(|(name, given)| given.then_some(name)).collect();
        if is_command && !in_vain.is_empty() {
            warnings.push(format!(
                "{} bind{} calls that are made over the supervisor: those that a command makes by itself are not seen",
                in_vain.join(" and "),
                if in_vain.len() == 1 { "s" } else { "" }
            ));
        }
        let (output, _) = layers.one(
            "output",
            args.output,
            value::word::<OutputMode>,
            OutputMode::Prefixed,
            value::word_of,
        )?;
        let (progress, _) = layers.one(
            "progress",
            args.progress,
            value::word::<ProgressMode>,
            ProgressMode::Auto,
            value::word_of,
        )?;
        let (joblog, origin) = layers.one(
            "joblog",
            args.joblog.clone().map(Some),
            |text| Ok(Some(PathBuf::from(text))),
            None,
            |path| path.as_ref().map_or_else(|| "none".to_owned(), |p| p.display().to_string()),
        )?;
        // A path in a file belongs to the file's directory, one that was typed to where it was typed.
        let base = if matches!(origin, Origin::File(..)) { &self.project.dir } else { &self.project.cwd };
        let joblog = joblog.map(|path| base.join(path));
        let (max_log_bytes, _) =
            layers.one("max_log", None, value::size_bytes, 1 << 30, |bytes| value::format_size(*bytes))?;
        let with_key = if is_command {
            let names = layers.many("with_key", &args.with_key, |name| self.known_provider(name))?;
            self.one_key_per_variable(&names)?;
            names
        } else {
            Vec::new()
        };
        let pass_env = layers.many("pass_env", &args.pass_env, value::variable)?;
        let shown = |redo: &value::Redo| value::redo_word(*redo).to_owned();
        let redo = layers.choice("redo", args.redo, value::redo, shown)?.unwrap_or_default();
        let lines = layers.choice("lines", on(args.lines), value::switch, show)?.unwrap_or(false);
        let dry_run = layers.choice("dry_run", on(args.dry_run), value::switch, show)?.unwrap_or(false);

        let name = layers.choice("name", args.name.clone(), value::run_name, Clone::clone)?;

        let known: Vec<&str> = schema::run_keys().iter().copied().chain(CHOICES).collect();
        let (origins, more) = layers.finish(&known);
        warnings.extend(more);
        Ok(Settings {
            project: self.project.clone(),
            pool: if mock { PoolSettings::default() } else { self.pool.clone() },
            work,
            parallel,
            timeout: timeout.at(),
            idle_timeout: idle_timeout.at(),
            run_timeout: run_timeout.at(),
            max_wait,
            grace,
            call_timeout,
            max_retries: max_retries.at(),
            item_retries,
            tempfail: tempfail.0,
            max_fail: max_fail.at(),
            budget_tokens: budget_tokens.at(),
            lines,
            redo,
            redo_items: redo_items(&args.redo_item)?,
            dry_run,
            output,
            progress,
            joblog,
            with_key,
            pass_env,
            mock: mock.then(|| profile.unwrap_or_else(|| "steady".to_owned())),
            max_log_bytes,
            name,
            origins,
            warnings,
        })
    }

    fn known_provider(&self, name: &str) -> Result<String, String> {
        if self.pool.providers.contains_key(name) {
            Ok(name.to_owned())
        } else {
            let known: Vec<&str> = self.pool.providers.keys().map(String::as_str).collect();
            Err(format!("there is no provider {name:?} (known are {})", known.join(", ")))
        }
    }

    /// Two providers of one kind would share the variable their keys are handed over in.
    fn one_key_per_variable(&self, names: &[String]) -> Result<(), Trouble> {
        let kind = |name: &String| self.pool.providers.get(name).map(|p| p.kind);
        for (index, name) in names.iter().enumerate() {
            if let Some(other) = names[..index].iter().find(|other| kind(other) == kind(name)) {
                return refused(format!(
                    "--with-key {other} and --with-key {name} would hand over their keys in the same variable"
                ));
            }
        }
        Ok(())
    }

    fn pool_warnings(&self) -> Vec<String> {
        let groups: Vec<&str> = self.pool.keys.iter().filter_map(|k| k.quota_group.as_deref()).collect();
        let idle = self.pool.limits.keys().filter(|group| !groups.contains(&group.as_str()));
        let mut warnings: Vec<String> =
            idle.map(|group| format!("no key is in the quota group {group:?} of wf.toml")).collect();
        let bare =
            |p: &&ProviderSettings| p.base_url.strip_prefix("http://").is_some_and(|rest| !is_loopback(rest));
        warnings.extend(self.pool.providers.values().filter(bare).map(|p| {
            format!("keys and documents travel to {} without encryption (provider {:?})", p.base_url, p.name)
        }));
        warnings
    }
}

fn is_loopback(authority_and_path: &str) -> bool {
    let authority = authority_and_path.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn default_paths(name: WorkflowName) -> (&'static str, &'static str) {
    match name {
        WorkflowName::Issue => ("briefs/{id}.md", "issues/{id}.md"),
        WorkflowName::Lld => ("issues/{id}.md", "docs/lld/LLD-{id}.md"),
        WorkflowName::Implement => ("docs/lld/LLD-{id}.md", "wf/impl-{id}"),
    }
}

fn read_file(path: &std::path::Path) -> Result<String, Trouble> {
    let cannot = |why: String| Trouble::Refused(format!("{} cannot be read: {why}", path.display()));
    let file = fs::File::open(path).map_err(|e| cannot(e.to_string()))?;
    let mut text = String::new();
    match file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 > MAX_FILE_BYTES => Err(cannot("it is larger than 1 MiB".to_owned())),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(cannot("it is not valid UTF-8".to_owned()))
        }
        Err(error) => Err(cannot(error.to_string())),
    }
}

/// The items of `--redo-item`.
fn redo_items(named: &[String]) -> Result<Vec<wf_core::ItemId>, Trouble> {
    named
        .iter()
        .map(|id| {
            wf_core::ItemId::new(id).map_err(|why| Trouble::Refused(format!("--redo-item {id:?}: {why}")))
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
