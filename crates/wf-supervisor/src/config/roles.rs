//! Who drafts and who reviews.

use std::collections::BTreeMap;

use wf_providers::{Dialect, default_models};

use super::schema::{RoleTable, WorkflowTable};
use super::{ProviderSettings, RoleSettings};
use crate::cli::value::WorkflowName;
use crate::exit::{Trouble, refused};

/// In order of preference for drafting.
const DRAFTERS: [Dialect; 3] = [Dialect::Anthropic, Dialect::OpenAi, Dialect::Gemini];
/// In order of preference for reviewing.
const REVIEWERS: [Dialect; 3] = [Dialect::Gemini, Dialect::OpenAi, Dialect::Anthropic];
/// Upper bound of a reply, in tokens: a design of a few thousand words with room for a model that thinks aloud.
const MAX_OUTPUT_TOKENS: u32 = 16_384;

/// Both roles of a workflow, with warnings about the choice.
pub struct Roles {
    /// Who drafts.
    pub drafter: RoleSettings,
    /// Who reviews.
    pub reviewer: RoleSettings,
    /// What people should know of the choice.
    pub warnings: Vec<String>,
}

/// The embedded mock in both roles.
pub fn mock_roles(table: &WorkflowTable) -> Roles {
    let role = |name: &str, table: &Option<RoleTable>| RoleSettings {
        provider: ProviderSettings::mock(),
        model: format!("mock-{name}"),
        max_output_tokens: table.as_ref().and_then(|t| t.max_output_tokens).unwrap_or(MAX_OUTPUT_TOKENS),
    };
    Roles {
        drafter: role("drafter", &table.drafter),
        reviewer: role("reviewer", &table.reviewer),
        warnings: Vec::new(),
    }
}

/// Chooses both roles of `workflow`: what its table says, and defaults from the providers in `with_keys`.
///
/// Without any key the roles are those of a pool with Gemini keys; that there is none is said when keys are needed.
pub fn choose(
    workflow: WorkflowName,
    table: &WorkflowTable,
    providers: &BTreeMap<String, ProviderSettings>,
    with_keys: &[&str],
) -> Result<Roles, Trouble> {
    let mut warnings = Vec::new();
    let has_key = |dialect: &Dialect| with_keys.contains(&dialect.name());
    if !with_keys.is_empty()
        && !DRAFTERS.iter().any(has_key)
        && (table.drafter.is_none() || table.reviewer.is_none())
    {
        return refused(format!(
            "there is no default model for {}: name drafter and reviewer in [workflow.{workflow}] of wf.toml",
            with_keys.join(" and ")
        ));
    }
    let drafter = if let Some(role) = &table.drafter {
        configured(workflow, "drafter", role, providers, None)?
    } else {
        let dialect = DRAFTERS.into_iter().find(has_key).unwrap_or(Dialect::Gemini);
        default_role(providers, dialect, default_models(dialect).first)
    };
    let others = |d: &Dialect| d.name() != drafter.provider.name;
    let reviewer = if let Some(role) = &table.reviewer {
        configured(workflow, "reviewer", role, providers, Some(&drafter))?
    } else if let Some(dialect) = REVIEWERS.into_iter().filter(has_key).find(others) {
        default_role(providers, dialect, default_models(dialect).first)
    } else {
        let models = default_models(drafter.provider.kind);
        let model = if drafter.model == models.second { models.first } else { models.second };
        if !with_keys.is_empty() {
            warnings.push(format!(
                "only {} has a key: its {model} reviews what its {} drafts; a second provider's key makes reviews \
                 independent",
                drafter.provider.name, drafter.model
            ));
        }
        RoleSettings { model: model.to_owned(), ..drafter.clone() }
    };
    if drafter.provider.name == reviewer.provider.name && drafter.model == reviewer.model {
        warnings.push(format!("{} reviews its own drafts in workflow {workflow}", drafter.model));
    }
    Ok(Roles { drafter, reviewer, warnings })
}

fn default_role(
    providers: &BTreeMap<String, ProviderSettings>,
    dialect: Dialect,
    model: &str,
) -> RoleSettings {
    let provider =
        providers.get(dialect.name()).cloned().unwrap_or_else(|| ProviderSettings::built_in(dialect));
    RoleSettings { provider, model: model.to_owned(), max_output_tokens: MAX_OUTPUT_TOKENS }
}

fn configured(
    workflow: WorkflowName,
    role: &str,
    table: &RoleTable,
    providers: &BTreeMap<String, ProviderSettings>,
    drafter: Option<&RoleSettings>,
) -> Result<RoleSettings, Trouble> {
    let Some(provider) = providers.get(&table.provider) else {
        return refused(format!(
            "the {role} of [workflow.{workflow}] names the provider {:?}, which is neither built in nor in wf.toml",
            table.provider
        ));
    };
    let built_in = provider.name == provider.kind.name();
    let model = match &table.model {
        Some(model) => model.clone(),
        None if built_in => {
            let models = default_models(provider.kind);
            let taken = drafter.is_some_and(|d| d.provider.name == provider.name && d.model == models.first);
            (if taken { models.second } else { models.first }).to_owned()
        }
        None => {
            return refused(format!(
                "the {role} of [workflow.{workflow}] needs a model: there is no default for the provider {:?}",
                table.provider
            ));
        }
    };
    Ok(RoleSettings {
        provider: provider.clone(),
        model,
        max_output_tokens: table.max_output_tokens.unwrap_or(MAX_OUTPUT_TOKENS),
    })
}
