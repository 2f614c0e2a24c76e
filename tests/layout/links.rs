//! Links between pages lead somewhere, also those to a heading; and the README stays short.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::report;

const FOLDERS: [&str; 4] = [".", "docs", "docs/decisions", "migrations"];
const README_BYTES_MAX: u64 = 6000;

#[test]
fn every_link_between_pages_leads_to_a_file_and_to_a_heading_in_it() -> io::Result<()> {
    let mut faults = Vec::new();
    let mut count = 0;
    for page in pages()? {
        let text = fs::read_to_string(&page)?;
        for link in links(&text) {
            count += 1;
            if let Some(fault) = fault(&page, &text, &link) {
                faults.push(format!("{}: {link}: {fault}", page.display()));
            }
        }
    }
    assert!(count > 50, "only {count} links were found");
    report(&faults);
    Ok(())
}

#[test]
fn the_readme_is_short() -> io::Result<()> {
    let bytes = fs::metadata("README.md")?.len();
    let most = README_BYTES_MAX;
    assert!(
        bytes <= most,
        "README.md has {bytes} bytes, over {most}: what is too long belongs into docs/"
    );
    Ok(())
}

fn pages() -> io::Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    Ok(pages)
}

/// Links of a page to others of ours.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in outside_fences(text) {
        for rest in line.split("](").skip(1) {
            let link = rest.split(')').next().unwrap_or_default();
            if !link.contains("://") && !link.starts_with("mailto:") {
                links.push(link.to_owned());
            }
        }
    }
    links
}

fn outside_fences(text: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_inside ^= is_fence;
        !is_inside && !is_fence
    })
}

fn fault(page: &Path, text: &str, link: &str) -> Option<&'static str> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, to)| (path, Some(to)));
    let target = page.parent().unwrap_or(Path::new(".")).join(path);
    if !path.is_empty() && !target.exists() {
        return Some("no such file");
    }
    let anchor = anchor?;
    let text = if path.is_empty() { text.to_owned() } else { fs::read_to_string(target).ok()? };
    let is_there = outside_fences(&text).any(|line| {
        let heading = line.trim_start_matches('#');
        heading.len() < line.len() && anchor_of(heading.trim()) == anchor
    });
    (!is_there).then_some("no such heading")
}

/// A heading as those who show Markdown name it in addresses.
fn anchor_of(heading: &str) -> String {
    let heading = heading.to_lowercase();
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => Some(letter),
        _ => None,
    });
    kept.collect()
}
