//! Which way calls go: straight to the provider, or through a proxy.

use ureq::Proxy;

/// The word that stands for "no proxy, whatever the environment says".
pub const DIRECT: &str = "off";

/// A way to a provider.
#[derive(Clone, Debug)]
pub struct Route {
    proxy: Option<Proxy>,
}

impl Route {
    /// The way to `base_url`: through the `configured` proxy, unless that is [`DIRECT`]; where none is configured, as the
    /// environment says. The error is a sentence for a person.
    ///
    /// The environment's proxies are for TLS alone: through its tunnel a proxy sees the host's name and no key. Of its
    /// variables, `HTTPS_PROXY` comes before `ALL_PROXY`, and hosts of `NO_PROXY` are left out, small letters likewise.
    pub fn choose(
        configured: Option<&str>,
        base_url: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Route, String> {
        let set =
            |names: [&str; 2]| names.into_iter().find_map(|name| variable(name).filter(|v| !v.is_empty()));
        let straight = Ok(Route { proxy: None });
        let (name, url) = match configured {
            Some(DIRECT) => return straight,
            Some(url) => ("proxy", url.to_owned()),
            None if !base_url.starts_with("https://") => return straight,
            None => match (set(["HTTPS_PROXY", "https_proxy"]), set(["ALL_PROXY", "all_proxy"])) {
                (Some(url), _) => ("HTTPS_PROXY", url),
                (None, Some(url)) => ("ALL_PROXY", url),
                (None, None) => return straight,
            },
        };
        let excepted = set(["NO_PROXY", "no_proxy"]).filter(|_| configured.is_none()).unwrap_or_default();
        let authority = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
        if excepted.split(',').any(|entry| covers(entry.trim(), host(authority))) {
            return straight;
        }
        // Its own words would repeat a password in it.
        match Proxy::new(&url) {
            Ok(proxy) => Ok(Route { proxy: Some(proxy) }),
            Err(_) => Err(format!("{name} is no address of a proxy, such as http://proxy.example:3128")),
        }
    }

    /// The proxy, if there is one.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }
}

fn host(authority: &str) -> &str {
    let authority = authority.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Whether an entry of `NO_PROXY` means this host, as curl reads it: `*` all, a name itself and everything below it.
fn covers(entry: &str, host: &str) -> bool {
    let name = entry.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    entry == "*"
        || !name.is_empty()
            && (host == name || host.strip_suffix(&name).is_some_and(|front| front.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_chosen_by_configuration_and_environment() {
        let https = &[("HTTPS_PROXY", "http://secure:1")][..];
        let all = &[("all_proxy", "http://all:2")][..];
        let both = &[https[0], all[0]][..];
        let but = |no: &'static str| vec![https[0], ("NO_PROXY", no)];
        let to = "https://api.example.com/v1";
        for (configured, base_url, variables, want) in [
            (None, to, &[][..], None),
            (None, to, https, Some("secure")),
            (None, to, all, Some("all")),
            (None, to, both, Some("secure")),
            (None, to, &[("HTTP_PROXY", "http://plain:3")], None),
            (None, to, &[("HTTPS_PROXY", "")], None),
            (None, "http://127.0.0.1:1", both, None),
            (None, to, &but("example.com"), None),
            (None, to, &but("other.org, .example.com"), None),
            (None, to, &but("*"), None),
            (None, to, &but("ample.com"), Some("secure")),
            (None, to, &but(","), Some("secure")),
            (None, "https://[::1]:8/x", &but("::1"), None),
            (Some("off"), to, https, None),
            (Some("http://mine:4"), to, &but("*"), Some("mine")),
            (Some("http://mine:4"), "http://127.0.0.1:1", &[], Some("mine")),
        ] {
            let variable = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
            let route = Route::choose(configured, base_url, variable).unwrap();
            assert_eq!(route.proxy().map(Proxy::host), want, "{configured:?} {base_url} {variables:?}");
        }
        let wrong = Route::choose(None, to, |_| Some("ftp://user:secret@h".into())).unwrap_err();
        assert!(wrong.contains("HTTPS_PROXY") && !wrong.contains("secret"), "{wrong}");
    }
}
