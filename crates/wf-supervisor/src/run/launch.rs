//! What runs for an attempt: program, arguments, environment, and the built-in worker's job.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use wf_core::resume::CheckpointUse;
use wf_core::{AttemptId, ItemId, ItemIndex, Slot};
use wf_protocol::Secret as Token;
use wf_warden::Spawn;
use wf_worker::checkpoint;
use wf_worker::job::{CodeJob, Input, Job, Role};

use crate::cli::value::WorkflowName;
use crate::config::{InputSource, RoleSettings, Settings, Work, WorkflowSettings};
use crate::items::ItemSpec;
use crate::items::placeholders::{self, Fill, Template};
use crate::keys::Secret;
use crate::plan::Plan;
use crate::run::program::{find_program, search_path};
use crate::store::StoreError;
use crate::store::atomic::write_atomic;
use crate::store::layout::StateDir;
use crate::store::name::short;
use crate::store::run_dir::RunDir;
use crate::store::work::{Realm, Work as WorkId};

/// Why an attempt's command cannot be made, in words for a person.
#[derive(Debug)]
pub enum LaunchError {
    /// It is about this item, or about what it runs.
    Item(String),
    /// The state directory cannot be written: about the whole run.
    State(String),
}

/// Makes the command of each attempt.
#[derive(Debug)]
pub struct Launcher {
    items: Vec<ItemSpec>,
    by_id: HashMap<ItemId, ItemIndex>,
    program: Program,
    work: WorkId,
    prefix: &'static str,
    state: StateDir,
    run: RunDir,
    /// Where workers start: the directory of the invocation for commands, the project for workflows.
    cwd: PathBuf,
    search: OsString,
    /// The program that was found last: nearly always all items run the same.
    found: Option<(OsString, PathBuf)>,
    /// Items whose checkpoint belongs to other inputs and is set aside at the first attempt.
    stale: HashSet<ItemIndex>,
    /// Items that `--redo` concerns.
    redone: HashSet<ItemIndex>,
    /// What earlier runs wrote, by item.
    ours: HashMap<ItemIndex, String>,
    /// SHA-256 of approved designs, by item.
    designs: HashMap<ItemId, Vec<String>>,
    /// By the key's name: the variable in which `--with-key` hands it over.
    key_variables: HashMap<String, &'static str>,
}

#[derive(Debug)]
enum Program {
    Worker { exe: PathBuf, workflow: Box<WorkflowSettings>, settings: Box<JobSettings> },
    Command(Template),
}

/// What all jobs of a run have in common beside the workflow.
#[derive(Debug)]
struct JobSettings {
    project: PathBuf,
    /// Under which outputs go; the project but for `--mock`.
    outputs: PathBuf,
    call_timeout_ms: u64,
}

impl Launcher {
    /// For a run in `run` with this plan; `designs` are the SHA-256 of those approved, by item.
    pub fn new(
        settings: &Settings,
        plan: Plan,
        designs: HashMap<ItemId, Vec<String>>,
        work: WorkId,
        state: StateDir,
        run: RunDir,
    ) -> io::Result<Launcher> {
        let (mut items, mut outdated, mut ours) = (Vec::new(), HashSet::new(), HashMap::new());
        let mut redone = HashSet::new();
        for (i, planned) in plan.items.into_iter().enumerate() {
            let index = ItemIndex(i as u32);
            if planned.decision.checkpoint == CheckpointUse::SetAside {
                outdated.insert(index);
            }
            if planned.redo_asked {
                redone.insert(index);
            }
            if let Some(sha256) = planned.output_of_ours {
                ours.insert(index, sha256);
            }
            items.push(planned.item);
        }
        let by_id = (0..).map(ItemIndex).zip(&items).map(|(index, item)| (item.id.clone(), index)).collect();
        let variable = |key: &crate::keys::KeyConfig| {
            let provider = settings.pool.providers.get(&key.provider)?;
            Some((key.name.clone(), provider.key_variable()))
        };
        let key_variables = settings.pool.keys.iter().filter_map(variable).collect();
        let (program, cwd) = match &settings.work {
            Work::Command(template) => (Program::Command(template.clone()), settings.project.cwd.clone()),
            Work::Workflow(workflow) => {
                let project = settings.project.dir.clone();
                let job = JobSettings {
                    outputs: if work.realm == Realm::Mock { state.mock_outputs() } else { project.clone() },
                    project: project.clone(),
                    call_timeout_ms: u64::try_from(settings.call_timeout.as_millis()).unwrap_or(u64::MAX),
                };
                let workflow = workflow.clone();
                (Program::Worker { exe: worker_program()?, workflow, settings: Box::new(job) }, project)
            }
        };
        Ok(Launcher {
            by_id,
            program,
            work,
            prefix: settings.work.prefix(),
            state,
            run,
            cwd,
            search: search_path(),
            found: None,
            stale: outdated,
            redone,
            ours,
            key_variables,
            designs,
            items,
        })
    }

    /// How many items there are.
    pub fn count(&self) -> u32 {
        self.items.len() as u32
    }

    /// Whether the built-in worker runs, which must prove that it is the process that was started.
    pub fn is_built_in(&self) -> bool {
        matches!(self.program, Program::Worker { .. })
    }

    /// The name people see.
    pub fn label(&self, item: ItemIndex) -> Arc<str> {
        self.item(item).id.label(self.prefix).into()
    }

    /// What its lines begin with: the label, or something short in its place.
    pub fn shown_name(&self, item: ItemIndex) -> Arc<str> {
        short(item.0.saturating_add(1), &self.label(item)).into()
    }

    /// The item's id.
    pub fn id(&self, item: ItemIndex) -> ItemId {
        self.item(item).id.clone()
    }

    /// The run's directory.
    pub fn run_dir(&self) -> &Path {
        self.run.path()
    }

    /// The position of an item.
    pub fn index(&self, id: &ItemId) -> Option<ItemIndex> {
        self.by_id.get(id).copied()
    }

    fn item(&self, item: ItemIndex) -> &ItemSpec {
        &self.items[item.0 as usize]
    }

    /// How much is in the item's log.
    pub fn log_bytes(&self, item: ItemIndex) -> u64 {
        fs::metadata(self.run.log(&self.label(item))).map_or(0, |meta| meta.len())
    }

    /// The command line as a person would type it.
    pub fn shown(spawn: &Spawn) -> String {
        placeholders::shown(&spawn.argv)
    }

    /// What to execute for the attempt.
    pub fn spawn(
        &mut self,
        attempt: AttemptId,
        slot: Slot,
        token: &Token,
        keys: &[&Secret],
    ) -> Result<Spawn, LaunchError> {
        self.set_stale_checkpoint_aside(attempt.item).map_err(LaunchError::State)?;
        let item = &self.items[attempt.item.0 as usize];
        let argv = match &self.program {
            Program::Worker { .. } => vec![OsString::from("wf-worker")],
            Program::Command(template) => template.render(&Fill {
                text: item.text_or_id(),
                id: item.id.as_str(),
                position: u64::from(attempt.item.0) + 1,
                slot: u32::from(slot.0) + 1,
                run: self.run.id().as_str(),
                attempt: attempt.number,
            }),
        };
        let program = match &self.program {
            Program::Worker { exe, .. } => exe.clone(),
            Program::Command(_) => match &self.found {
                // A file that has gone meanwhile is named by the failure to start it.
                Some((name, path)) if *name == argv[0] => path.clone(),
                _ => find_program(&argv[0], &self.search, &self.cwd).map_err(LaunchError::Item)?,
            },
        };
        if !matches!(&self.found, Some((name, _)) if *name == argv[0]) {
            self.found = Some((argv[0].clone(), program.clone()));
        }
        let mut set_env: Vec<(OsString, OsString)> = Vec::with_capacity(8 + item.env.len());
        let mut set = |name: &str, value: &OsStr| set_env.push((name.into(), value.into()));
        for (name, value) in &item.env {
            set(name, OsStr::new(&**value));
        }
        set("WF_ITEM_ID", OsStr::new(item.id.as_str()));
        set("WF_ATTEMPT", OsStr::new(&attempt.number.to_string()));
        set("WF_TOKEN", OsStr::new(token.expose()));
        set("WF_WORKFLOW_DB", self.checkpoint(&self.item(attempt.item).id).as_os_str());
        if item.text_goes_to_file() {
            set("WF_ITEM_TEXT_FILE", self.write_text(item).map_err(LaunchError::State)?.as_os_str());
        } else {
            set("WF_ITEM_TEXT", OsStr::new(item.text.as_deref().unwrap_or_default()));
        }
        for key in keys {
            // A key of a provider that people know under a variable goes there.
            if let Some(variable) = self.key_variables.get(key.name()) {
                set(variable, OsStr::new(key.expose()));
            }
        }
        Ok(Spawn { program, argv, set_env, unset_env: Vec::new(), cwd: self.cwd.clone() })
    }

    /// The built-in worker's job as JSON; for a command an empty object.
    pub fn job(&self, attempt: AttemptId) -> String {
        let Program::Worker { workflow, settings, .. } = &self.program else { return "{}".to_owned() };
        let id = &self.item(attempt.item).id;
        let input = match &workflow.input {
            InputSource::File(pattern) => Input::File(pattern.path(id)),
            InputSource::Command(words) => {
                Input::Command(words.iter().map(|w| w.replace("{id}", id.as_str())).collect())
            }
        };
        let output = workflow.output.path(id);
        let job = Job {
            workflow: workflow.name.word().to_owned(),
            project_dir: settings.project.clone(),
            input,
            output: match output.strip_prefix("/") {
                // A branch has the same name everywhere; a mock run's is in a repository of its own.
                _ if workflow.name == WorkflowName::Implement => output,
                // A mock run writes nowhere but below its own directory.
                Ok(inside) if self.work.realm == Realm::Mock => settings.outputs.join(inside),
                Err(_) if self.work.realm == Realm::Mock => settings.outputs.join(&output),
                _ => output,
            },
            our_output_sha256: self.ours.get(&attempt.item).cloned(),
            lineage_dir: self.state.lineage(&self.work, id),
            audit_file: self.run.item_audit(id),
            max_iterations: workflow.max_iterations,
            commit: workflow.commit && self.work.realm == Realm::Real,
            drafter: role(&workflow.drafter),
            reviewer: role(&workflow.reviewer),
            prompts_dir: workflow.prompts_dir.clone(),
            redo: self.redone.contains(&attempt.item),
            call_timeout_ms: settings.call_timeout_ms,
            code: (workflow.name == WorkflowName::Implement).then(|| self.code_job(workflow, id)),
        };
        serde_json::to_string(&job)
            .expect("a job is plain strings and numbers with UTF-8 paths checked at load")
    }

    fn code_job(&self, workflow: &WorkflowSettings, id: &ItemId) -> CodeJob {
        let realm = self.work.realm;
        CodeJob {
            worktree: self.state.worktree(realm, id),
            repository: (realm == Realm::Mock).then(|| self.state.mock_repository()),
            state_dir: self.state.path().to_owned(),
            test_command: workflow.test_command.clone().unwrap_or_default(),
            test_timeout_ms: u64::try_from(workflow.test_timeout.as_millis()).unwrap_or(u64::MAX),
            approved_designs: self.designs.get(id).cloned().unwrap_or_default(),
        }
    }

    /// The item's checkpoint database.
    pub fn checkpoint(&self, id: &ItemId) -> PathBuf {
        self.state.checkpoint(&self.work, id)
    }

    /// A checkpoint of other inputs must not be resumed, and is kept.
    fn set_stale_checkpoint_aside(&mut self, item: ItemIndex) -> Result<(), String> {
        if !self.stale.remove(&item) {
            return Ok(());
        }
        let path = self.checkpoint(&self.item(item).id);
        if !path.exists() {
            return Ok(());
        }
        let aside = checkpoint::set_aside(&path);
        aside
            .map(drop)
            .map_err(|error| format!("cannot set its old checkpoint {} aside: {error}", path.display()))
    }

    /// Linux takes no single string over 128 KiB at exec, so a long text is handed over in a file.
    fn write_text(&self, item: &ItemSpec) -> Result<PathBuf, String> {
        let path = self.run.path().join(format!("text-{}.txt", item.id));
        let text = item.text.as_deref().unwrap_or_default();
        let fill = |out: &mut io::BufWriter<&fs::File>| {
            io::Write::write_all(out, text.as_bytes()).map_err(StoreError::writing(&path))
        };
        write_atomic(&path, fill).map_err(|error| error.to_string())?;
        Ok(path)
    }
}

fn role(role: &RoleSettings) -> Role {
    Role {
        provider: role.provider.name.clone(),
        kind: role.provider.kind.name().to_owned(),
        model: role.model.clone(),
        base_url: role.provider.base_url.clone(),
        max_output_tokens: role.max_output_tokens,
        network: role.provider.network.clone(),
    }
}

/// The built-in worker, installed beside this program.
pub fn worker_program() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let worker = own.with_file_name("wf-worker");
    if worker.is_file() {
        return Ok(worker);
    }
    let what = format!("the built-in worker {} is missing: install wf-supervisor again", worker.display());
    Err(io::Error::new(io::ErrorKind::NotFound, what))
}
