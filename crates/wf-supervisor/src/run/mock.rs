//! `--mock`: the embedded mock provider in the place of the real ones.

use wf_core::credentials::QuotaLimits;
use wf_mock_llm::{MockConfig, MockServer, PROFILES};
use zeroize::Zeroizing;

use crate::config::{Settings, Work};
use crate::exit::{Trouble, refused};
use crate::keys::{KeyConfig, KeyRing, Secret, SecretSource};

/// The mock server on a thread and a loopback port of its own, until dropped.
#[derive(Debug)]
pub struct Mock {
    server: MockServer,
    limits: wf_mock_llm::Limits,
}

impl Mock {
    /// Starts it as the profile says.
    pub fn start(profile: &str) -> Result<Mock, Trouble> {
        let Some(config) = MockConfig::profile(profile) else {
            let known: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
            return refused(format!("there is no mock profile {profile:?} (there are {})", known.join(", ")));
        };
        let limits = config.limits;
        Ok(Mock { server: MockServer::start(config)?, limits })
    }
}

/// Puts the mock's address and its made-up keys into the settings, and answers with their secrets.
pub fn stand_in(mock: &Mock, settings: &mut Settings) -> KeyRing {
    let keys = mock.server.keys();
    let configs = keys.iter().map(|key| KeyConfig {
        name: key.name.clone(),
        provider: "mock".to_owned(),
        // They come from nowhere, and nobody reads them again.
        source: SecretSource::Variable { name: String::new(), part: None },
        quota_group: Some(key.group.clone()),
        max_in_flight: None,
    });
    settings.pool.keys = configs.collect();
    // Not its tokens per minute: a bucket of known size counts as just drained at the start, and the mock's is full.
    let limits = QuotaLimits { rpm: mock.limits.rpm.map(u64::from), ..QuotaLimits::default() };
    for key in &keys {
        settings.pool.limits.insert(key.group.clone(), [(None, limits)].into());
    }
    if let Work::Workflow(workflow) = &mut settings.work {
        let address = mock.server.base_url();
        workflow.drafter.provider.base_url.clone_from(&address);
        workflow.reviewer.provider.base_url = address;
    }
    let secret = |key: &wf_mock_llm::MockKey| {
        Secret::new(&key.name, Zeroizing::new(key.secret.clone()))
            .expect("the mock's keys are long plain ASCII")
    };
    let secrets: Vec<Secret> = keys.iter().map(secret).collect();
    KeyRing::of_secrets(settings.pool.keys.iter().cloned().zip(secrets))
}
