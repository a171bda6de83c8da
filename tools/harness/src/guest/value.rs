// SPDX-License-Identifier: GPL-2.0

//! The values that a description of a guest is made of, as they stand in a scenario file or on the
//! command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Name and value around the first `=`, neither of them empty.
fn pair<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name, value)),
        _ => Err(format!("{text:?} is not {form}")),
    }
}

/// A number of processors, seconds or jobs.
///
/// # Errors
///
/// It is no number, or 0.
pub fn positive<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no number from 1 on"))
}

/// The emulated IOMMU.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Iommu {
    /// None at all.
    None,
    /// VT-d in scalable mode with 20 PASID bits, and further properties of QEMU's device.
    Intel(Option<String>),
    /// AMD's, with further properties.
    Amd(Option<String>),
    /// A whole `-device` argument.
    Device(String),
}

impl FromStr for Iommu {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, properties) = match text.split_once(',') {
            Some((name, properties)) => (name, Some(properties.to_owned())),
            None => (text, None),
        };
        match (name, properties) {
            ("", _) => Err(String::from("no name of a device")),
            ("none", None) => Ok(Iommu::None),
            ("none", Some(_)) => Err(String::from("\"none\" has no properties")),
            ("intel", properties) => Ok(Iommu::Intel(properties)),
            ("amd", properties) => Ok(Iommu::Amd(properties)),
            _ => Ok(Iommu::Device(text.to_owned())),
        }
    }
}

/// Bytes, written as a number and an optional K, M, G or T (powers of 1024).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Size {
    text: String,
    bytes: u64,
}

impl Size {
    /// One GiB.
    pub fn gib() -> Self {
        Size {
            text: String::from("1G"),
            bytes: 1 << 30,
        }
    }

    /// How many they are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is not a size such as 512M or 2G");
        let (number, shift) = match text.as_bytes().last() {
            Some(b'K') => (&text[..text.len() - 1], 10),
            Some(b'M') => (&text[..text.len() - 1], 20),
            Some(b'G') => (&text[..text.len() - 1], 30),
            Some(b'T') => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        let number: u64 = number.parse().map_err(|_| error())?;
        let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
        Ok(Size {
            text: text.to_owned(),
            bytes: bytes.ok_or_else(error)?,
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An empty image, `ID=SIZE`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disk {
    /// What `drive=` of a device names.
    pub id: String,
    /// Its size.
    pub size: Size,
}

impl Disk {
    /// Where the image is.
    pub fn image(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.img", self.id))
    }
}

impl FromStr for Disk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, size) = pair(text, "ID=SIZE")?;
        if !id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Err(format!("{id:?} is no id of a drive"));
        }
        Ok(Disk {
            id: id.to_owned(),
            size: size.parse()?,
        })
    }
}

/// A module with its parameters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Module(String);

impl Module {
    /// Without the parameters.
    pub fn name(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }
}

impl FromStr for Module {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.starts_with([' ', '-']) {
            return Err(format!("{text:?} does not start with the name of a module"));
        }
        Ok(Module(text.to_owned()))
    }
}

/// The words that `modprobe` gets.
impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path in the guest, from its root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GuestPath(String);

impl GuestPath {
    /// The path below a directory that becomes the guest's root.
    pub fn below(&self, stage: &Path) -> PathBuf {
        stage.join(self.0.trim_start_matches('/'))
    }
}

impl FromStr for GuestPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') || text.ends_with('/') || text.split('/').any(|part| part == "..")
        {
            return Err(format!("{text:?} is not the absolute path of a file"));
        }
        Ok(GuestPath(text.to_owned()))
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file for the guest, `FILE[:PATH]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CopyFile {
    /// On this machine.
    pub from: PathBuf,
    /// In the guest, by default `/siov/` and the name of the file.
    pub to: GuestPath,
}

impl CopyFile {
    /// A file in `/siov/bin`.
    pub fn program(from: PathBuf, name: &str) -> Self {
        CopyFile {
            from,
            to: GuestPath(format!("/siov/bin/{name}")),
        }
    }

    /// The same with a relative `from` taken from `dir`.
    pub fn of(&self, dir: &Path) -> Self {
        CopyFile {
            from: dir.join(&self.from),
            to: self.to.clone(),
        }
    }
}

impl FromStr for CopyFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = match text.split_once(':') {
            Some((from, to)) => (from, to.parse()?),
            None => {
                let name = text.rsplit('/').next().unwrap_or_default();
                (text, format!("/siov/{name}").parse()?)
            }
        };
        if from.is_empty() {
            return Err(format!("{text:?} names no file"));
        }
        Ok(CopyFile {
            from: PathBuf::from(from),
            to,
        })
    }
}

/// `FOLDER/NAME`, something of the kernel's source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The folder.
    pub folder: String,
    /// What is made in it.
    pub name: String,
}

impl FromStr for Member {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((folder, name))
                if !folder.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Member {
                    folder: folder.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err(format!("{text:?} is not FOLDER/NAME")),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder, self.name)
    }
}

/// A kvm.ko in place of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KvmModule {
    /// The shipped one.
    Stock,
    /// Rebuilt from C.
    C,
}

impl KvmModule {
    /// Its name in scenarios.
    pub fn word(self) -> &'static str {
        match self {
            KvmModule::Stock => "stock",
            KvmModule::C => "c",
        }
    }
}

impl FromStr for KvmModule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [KvmModule::Stock, KvmModule::C]
            .into_iter()
            .find(|module| module.word() == text)
            .ok_or_else(|| format!("{text:?} is neither stock nor c"))
    }
}

/// A QEMU plugin, `FILE[,KEY=VALUE...]` or `NAME[,KEY=VALUE...]` for one that the workspace builds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plugin {
    /// File or name.
    pub library: String,
    /// `,KEY=VALUE...`, or empty.
    pub arguments: String,
}

impl FromStr for Plugin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (library, arguments) = text.split_at(text.find(',').unwrap_or(text.len()));
        if library.is_empty() {
            return Err(format!("{text:?} names no plugin"));
        }
        Ok(Plugin {
            library: library.to_owned(),
            arguments: arguments.to_owned(),
        })
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.library, self.arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iommus() {
        assert_eq!("none".parse(), Ok(Iommu::None));
        assert_eq!("intel".parse(), Ok(Iommu::Intel(None)));
        assert_eq!(
            "intel,fsts=on,aw-bits=39".parse(),
            Ok(Iommu::Intel(Some(String::from("fsts=on,aw-bits=39"))))
        );
        assert_eq!("amd".parse(), Ok(Iommu::Amd(None)));
        assert_eq!(
            "intel-iommu,caching-mode=on".parse(),
            Ok(Iommu::Device(String::from("intel-iommu,caching-mode=on")))
        );
        assert!("none,x=1".parse::<Iommu>().is_err());
        assert!("".parse::<Iommu>().is_err());
    }

    #[test]
    fn sizes() {
        let bytes = |text: &str| text.parse::<Size>().map(|size| size.bytes()).ok();
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("32M"), Some(32 << 20));
        assert_eq!(bytes("2G"), Some(2 << 30));
        for bad in ["", "M", "0", "0G", "-1", "1.5G", "2GB", "99999999999T"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn disks() {
        let disk: Disk = "disk0=64M".parse().unwrap();
        assert_eq!((disk.id.as_str(), disk.size.bytes()), ("disk0", 64 << 20));
        for bad in ["disk0", "=1M", "d=", "../x=1M", "a,b=1M"] {
            assert!(bad.parse::<Disk>().is_err(), "{bad}");
        }
    }

    #[test]
    fn copies_have_a_default_place() {
        let copy: CopyFile = "tests/a/run".parse().unwrap();
        assert_eq!(copy.to.to_string(), "/siov/run");
        let copy: CopyFile = "run:/bin/run".parse().unwrap();
        assert_eq!(copy.to.to_string(), "/bin/run");
        assert_eq!(
            copy.to.below(Path::new("/stage")),
            Path::new("/stage/bin/run")
        );
        for bad in ["", ":/x", "a:b", "a:/../b", "dir/"] {
            assert!(bad.parse::<CopyFile>().is_err(), "{bad}");
        }
    }

    #[test]
    fn modules_and_members() {
        let module: Module = "vtd debug=1".parse().unwrap();
        assert_eq!(
            (module.name(), module.to_string().as_str()),
            ("vtd", "vtd debug=1")
        );
        assert!("-r vtd".parse::<Module>().is_err());
        assert!("mtty".parse::<Member>().is_err());
        assert!("a/b/c".parse::<Member>().is_err());
        assert_eq!("vfio-mdev/mtty".parse::<Member>().unwrap().name, "mtty");
    }

    #[test]
    fn plugins_keep_their_arguments() {
        let plugin: Plugin = "libinsn.so,inline=on,x=1".parse().unwrap();
        assert_eq!(plugin.library, "libinsn.so");
        assert_eq!(plugin.arguments, ",inline=on,x=1");
        assert_eq!(plugin.to_string(), "libinsn.so,inline=on,x=1");
    }
}
