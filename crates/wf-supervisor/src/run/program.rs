//! The file that a command means, found before anything starts and again for each attempt.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::items::placeholders::{Template, shown};

/// Where programs without a slash in their name are looked for.
pub fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// Refuses a command that could not start for any item, started in `cwd`. One whose name is filled in for each item is not
/// judged.
pub fn check_command(command: &Template, search: &OsStr, cwd: &Path) -> Result<(), String> {
    let Some(name) = command.program() else { return Ok(()) };
    let is_path = name.as_encoded_bytes().contains(&b'/');
    let clause = match find_program(name, search, cwd) {
        Ok(path) if is_path => match unusable(&path) {
            Some(clause) => clause,
            None => return Ok(()),
        },
        Ok(_) => return Ok(()),
        Err(clause) => clause,
    };
    Err(match command.typed() {
        [line] if is_for_a_shell(line) => {
            let line = shown(std::slice::from_ref(line));
            format!(
                "{clause}\nthis is one word, and no shell takes it apart: write its words without quotes around them all, \
                 or let a shell read it: -- sh -c {line}"
            )
        }
        _ => clause,
    })
}

/// Why a path cannot be executed.
fn unusable(path: &Path) -> Option<String> {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("command not found: {shown} (there is no such file)"))
        }
        Err(error) => Some(format!("command not found: {shown}: {error}")),
        Ok(meta) if meta.is_dir() => Some(format!("the command {shown} is a directory")),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            Some(format!("the command {shown} is not executable (chmod +x)"))
        }
        Ok(_) => None,
    }
}

/// Whether a single word looks like a line that somebody wrote for a shell.
fn is_for_a_shell(word: &OsStr) -> bool {
    word.as_encoded_bytes().iter().any(|b| b" \t\n|&;<>()$`*?\"'".contains(b))
}

/// The file that a command's first word means: itself where it has a slash, else the first executable of that name in
/// `search`. No shell does it for us, and the warden wants a path.
pub fn find_program(name: &OsStr, search: &OsStr, cwd: &Path) -> Result<PathBuf, String> {
    let shown = name.to_string_lossy();
    if name.is_empty() {
        return Err("the command's name is empty".to_owned());
    }
    if name.as_encoded_bytes().contains(&b'/') {
        return Ok(cwd.join(name));
    }
    let mut unusable = None;
    for dir in std::env::split_paths(search) {
        let path = cwd.join(dir).join(name);
        if let Ok(meta) = fs::metadata(&path)
            && meta.is_file()
        {
            if meta.permissions().mode() & 0o111 != 0 {
                return Ok(path);
            }
            unusable.get_or_insert(path);
        }
    }
    Err(match unusable {
        Some(path) => format!("{} is not executable (chmod +x)", path.display()),
        None => format!("command not found: {shown} (it is in no directory of PATH)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let plain = file("a/tool", 0o644);
        let tool = file("b/tool", 0o755);
        fs::create_dir_all(dir.path().join("a/folder")).unwrap();
        let search = std::env::join_paths([dir.path().join("a"), dir.path().join("b")]).unwrap();
        let find = |name: &str| find_program(OsStr::new(name), &search, dir.path());
        assert_eq!(find("tool"), Ok(tool), "the first that can be executed");
        assert_eq!(find("./a/tool"), Ok(dir.path().join("./a/tool")), "a path is taken as it is");
        assert!(find("folder").unwrap_err().starts_with("command not found: folder"));
        assert!(find("").is_err());
        let only_plain = std::env::join_paths([dir.path().join("a")]).unwrap();
        let error = find_program(OsStr::new("tool"), &only_plain, dir.path()).unwrap_err();
        assert_eq!(error, format!("{} is not executable (chmod +x)", plain.display()));
    }

    #[test]
    fn a_command_that_no_item_could_start_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        file("tool", 0o755);
        file("plain", 0o644);
        let check = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let told = check_command(&Template::new(&words), dir.path().as_os_str(), dir.path());
            told.map_err(|told| told.replace(&dir.path().display().to_string(), "DIR"))
        };
        for good in [&["tool"][..], &["./tool", "{}"], &["{}"], &["./{id}.sh"], &["x{}", "|"]] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for (words, told) in [
            (&["nonesuch"][..], "command not found: nonesuch (it is in no directory of PATH)"),
            (&["./gone"], "command not found: DIR/./gone (there is no such file)"),
            (&["plain"], "DIR/plain is not executable (chmod +x)"),
            (&["./plain"], "the command DIR/./plain is not executable (chmod +x)"),
            (&["/"], "the command / is a directory"),
        ] {
            assert_eq!(check(words), Err(told.to_owned()));
        }
        for line in ["nonesuch {}", "./agent {} | tee x", "a;b"] {
            let told = check(&[line]).map_or_else(|told| told, |()| String::new());
            assert!(told.ends_with(&format!("-- sh -c {}", shown(&[OsString::from(line)]))), "{told}");
        }
    }
}
