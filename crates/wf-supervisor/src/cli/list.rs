//! The options of `run` that say how a list of items is read, and which of it is taken.

use std::path::PathBuf;

use clap::Args;

use super::value;
use crate::items::Selection;

/// How ITEMS is read. These belong to a list, not to a project: they have no place in `wf.toml`.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Items end with a NUL, as `find -print0` writes them; each is an item's text
    #[arg(short = '0', long, help_heading = "Items")]
    pub null: bool,
    /// The field or column that has the item's text [default: text, else prompt, input, task, ...]
    #[arg(long, value_name = "NAME", help_heading = "Items")]
    pub text_field: Option<String>,
    /// The field or column that has the item's id [default: id, else `instance_id`, `custom_id`, ...]
    #[arg(long, value_name = "NAME", help_heading = "Items")]
    pub id_field: Option<String>,
    /// Make each item's text from this template: `{{ text }}`, `{{ id }}`, `{{ any_field }}`
    #[arg(long, value_name = "FILE", help_heading = "Items")]
    pub prompt_template: Option<PathBuf>,
    /// Take the first N items only
    #[arg(long, value_name = "N", help_heading = "Items", value_parser = value::positive, allow_negative_numbers = true)]
    pub limit: Option<u32>,
    /// Take N items by chance; the same list gives the same ones
    #[arg(long, value_name = "N", help_heading = "Items", value_parser = value::positive, allow_negative_numbers = true)]
    pub sample: Option<u32>,
    /// Do every item N times, as ID.1 to ID.N
    #[arg(long, value_name = "N", help_heading = "Items", value_parser = value::positive, allow_negative_numbers = true)]
    pub repeat: Option<u32>,
}

impl ListArgs {
    /// Which items are taken.
    pub fn selection(&self) -> Selection {
        Selection { sample: self.sample, limit: self.limit, repeat: self.repeat }
    }

    /// The rules that concern several options at once. `way` is how the items are named.
    pub(super) fn check(&self, way: &str) -> Result<(), String> {
        let of_a_file = [
            (self.null, "--null"),
            (self.text_field.is_some(), "--text-field"),
            (self.id_field.is_some(), "--id-field"),
        ];
        match of_a_file.iter().find(|(is_used, _)| *is_used && way != "ITEMS") {
            Some((_, option)) => {
                Err(format!("{option} says how to read ITEMS; it means nothing together with {way}"))
            }
            None if self.prompt_template.is_some() && way == "--all" => {
                Err("--prompt-template makes texts, and the inputs that --all takes have their own"
                    .to_owned())
            }
            None => Ok(()),
        }
    }
}
