// SPDX-License-Identifier: GPL-2.0

//! C functions, fields and callbacks with the types of Rust.
//!
//! What C code says with a bare pointer and a comment, Rust says with a reference to a type whose
//! invariants are what the C code relies on:
//!
//! - [`Object`] marks a type as standing for a C structure;
//! - [`c_functions!`](crate::c_functions) lists C functions that are safe to call with such references;
//! - [`c_fields!`](crate::c_fields) lists fields of a C structure that are safe to read;
//! - [`c_parts!`](crate::c_parts) lists objects that lie in one, or that it points to;
//! - [`c_methods!`](crate::c_methods) lists its function pointers that are safe to call;
//! - [`c_objects!`](crate::c_objects) declares types that stand for C structures that lock themselves;
//! - [`c_arguments!`](crate::c_arguments) declares what they may take beside references;
//! - [`callback1`] to [`callback7`] make of a function that takes such references one for C's tables.

use core::ffi::c_void;
use core::ops::{Deref, DerefMut};
use kernel::ffi::c_char;
use kernel::prelude::*;

pub use crate::object::Object;

/// What can be passed where a C function takes a `C`.
pub trait Pass<C> {
    /// The value that C code gets.
    fn pass(self) -> C;
}

impl<C, T: Object<C> + ?Sized> Pass<*mut C> for &T {
    #[inline(always)]
    fn pass(self) -> *mut C {
        self.as_raw()
    }
}

impl<C, T: Object<C> + ?Sized> Pass<*const C> for &T {
    #[inline(always)]
    fn pass(self) -> *const C {
        self.as_raw()
    }
}

/// NULL for `None`.
impl<C, T: Object<C> + ?Sized> Pass<*mut C> for Option<&T> {
    #[inline(always)]
    fn pass(self) -> *mut C {
        self.map_or(core::ptr::null_mut(), Object::as_raw)
    }
}

/// For objects that belong to C code alone: what they must be is said where the function is listed.
impl<C> Pass<*mut C> for *mut C {
    #[inline(always)]
    fn pass(self) -> *mut C {
        self
    }
}

/// As above.
impl<C> Pass<*const C> for *const C {
    #[inline(always)]
    fn pass(self) -> *const C {
        self
    }
}

impl Pass<*const c_char> for &CStr {
    #[inline(always)]
    fn pass(self) -> *const c_char {
        self.as_char_ptr()
    }
}

/// Numbers, and where a function leaves one.
macro_rules! plain {
    ($($ty:ty),*) => {$(
        impl Pass<$ty> for $ty {
            #[inline(always)]
            fn pass(self) -> $ty {
                self
            }
        }

        impl Pass<*mut $ty> for &mut $ty {
            #[inline(always)]
            fn pass(self) -> *mut $ty {
                self
            }
        }

        // SAFETY: The same type.
        unsafe impl Receive<$ty> for $ty {}
        // SAFETY: The pointer is valid for writes, and for the function alone.
        unsafe impl Receive<*mut $ty> for &mut $ty {}
    )*};
}

plain!(bool, u8, u16, u32, u64, usize, i32, isize);

/// Lists C functions that are called as `name(arguments)`, with references for pointers.
///
/// Whoever lists a function says by `unsafe` that it demands nothing of its arguments but what the
/// invariants of their types promise, and argues it in a `SAFETY` comment:
///
/// ```ignore
/// // SAFETY: These want a function that exists.
/// c_functions!(unsafe {
///     fn pci_enable_ats(dev: &Device, shift: i32) -> i32;
/// });
/// ```
#[macro_export]
macro_rules! c_functions {
    (unsafe { $(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;
    )* }) => {$(
        $(#[$attribute])*
        #[inline(always)]
        $visibility fn $name($($argument: $ty),*) $(-> $ret)? {
            // SAFETY: As whoever lists the function argues.
            unsafe { $crate::bindings::$name($($crate::abi::Pass::pass($argument)),*) }
        }
    )*};
}

/// Lists fields of the C structure behind a type, as methods that copy them out.
///
/// Whoever lists a field says by `unsafe` that nobody writes to it while there are references to the
/// object, or that a torn or old value does no harm, and argues it in a `SAFETY` comment.
#[macro_export]
macro_rules! c_fields {
    (unsafe impl [$($generics:tt)*] $object:ty: $c:ty { $(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident() -> $ty:ty = $($field:ident).+;
    )* }) => {
        impl<$($generics)*> $object {$(
            $(#[$attribute])*
            #[inline(always)]
            $visibility fn $name(&self) -> $ty {
                let object: *mut $c = $crate::abi::Object::<$c>::as_raw(self);
                // SAFETY: An object is valid, and the field as whoever lists it argues.
                unsafe { (*object).$($field).+ }
            }
        )*}
    };
    (unsafe impl $object:ty: $c:ty { $($fields:tt)* }) => {
        $crate::c_fields!(unsafe impl [] $object: $c { $($fields)* });
    };
}

/// Lists objects that lie in the C structure behind a type (`= &field`), or that it points to
/// (`= *field`), as methods that return references.
///
/// Whoever lists one says by `unsafe` that it is there, initialised and where it is, while there are
/// references to the object, and argues it in a `SAFETY` comment.
#[macro_export]
macro_rules! c_parts {
    (unsafe impl $object:ty: $c:ty { $(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident() -> &$part:ty = $how:tt $($field:ident).+;
    )* }) => {
        impl $object {$(
            $(#[$attribute])*
            #[inline(always)]
            $visibility fn $name(&self) -> &$part {
                let object: *mut $c = $crate::abi::Object::<$c>::as_raw(self);
                // SAFETY: An object is valid, and the part as whoever lists it argues.
                unsafe { $crate::abi::part(self, $crate::c_parts!(@ $how object $($field).+)) }
            }
        )*}
    };
    (@ & $object:ident $($field:ident).+) => { &raw mut (*$object).$($field).+ };
    (@ * $object:ident $($field:ident).+) => { (*$object).$($field).+ };
}

/// For [`c_parts!`](crate::c_parts).
///
/// # Safety
///
/// `part` is valid and initialised as long as there are references to `whole`.
#[doc(hidden)]
#[inline(always)]
pub unsafe fn part<W, C, T: Object<C>>(_whole: &W, part: *mut C) -> &T {
    // SAFETY: As required of us, and an object is at the address of its structure.
    unsafe { &*part.cast() }
}

/// Lists function pointers of the C structure behind a type, as methods that return the function;
/// `None` for NULL.
///
/// Whoever lists one says by `unsafe` that it does not change, and demands nothing of its arguments but
/// what the invariants of their types promise, and argues it in a `SAFETY` comment.
#[macro_export]
macro_rules! c_methods {
    (unsafe impl $object:ty: $c:ty { $(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;
    )* }) => {
        impl $object {$(
            $(#[$attribute])*
            #[inline(always)]
            $visibility fn $name(&self) -> Option<impl Fn($($ty),*) $(-> $ret)?> {
                let object: *mut $c = $crate::abi::Object::<$c>::as_raw(self);
                // SAFETY: An object is valid, and the field constant as whoever lists it argues.
                let function = unsafe { (*object).$name }?;
                // SAFETY: As whoever lists the function argues.
                Some(move |$($argument: $ty),*| unsafe {
                    function($($crate::abi::Pass::pass($argument)),*)
                })
            }
        )*}
    };
}

/// Declares types that stand for C structures which C code initialises, locks and frees.
///
/// Whoever declares one says by `unsafe` that references are made to initialised structures only, and
/// that what is done with them may be done in any thread, and argues it in a `SAFETY` comment.
#[macro_export]
macro_rules! c_objects {
    (unsafe { $(
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident($c:ty);
    )* }) => {$(
        $(#[$attribute])*
        #[repr(transparent)]
        $visibility struct $name(::kernel::types::Opaque<$c>);

        // SAFETY: A transparent `Opaque`, initialised as whoever declares it argues.
        unsafe impl $crate::abi::Object<$c> for $name {}
        // SAFETY: As whoever declares it argues.
        unsafe impl Send for $name {}
        // SAFETY: As whoever declares it argues.
        unsafe impl Sync for $name {}
    )*};
}

/// What a function may take where its C caller passes a `C`.
///
/// # Safety
///
/// `Self` is passed as a `C` is, and every `C` that C code passes to a function declared with `Self` is a
/// valid `Self` until the function returns.
pub unsafe trait Receive<C> {}

// SAFETY: A pointer to an object, as the table's contract says.
unsafe impl<C, T: Object<C>> Receive<*mut C> for &T {}
// SAFETY: As above.
unsafe impl<C, T: Object<C>> Receive<*const C> for &T {}
// SAFETY: As above, or NULL.
unsafe impl<C, T: Object<C>> Receive<*mut C> for Option<&T> {}
// SAFETY: The same type.
unsafe impl<C> Receive<*mut C> for *mut C {}
// SAFETY: The same type.
unsafe impl<C> Receive<*const C> for *const C {}

/// Declares types of a pointer or a number that C code passes to callbacks.
///
/// Safe code cannot make them. Whoever declares one says by `unsafe` what is true of each that is passed
/// to a function which has it as a parameter, and argues it in a `SAFETY` comment.
#[macro_export]
macro_rules! c_arguments {
    (unsafe { $(
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident $(<$lifetime:lifetime>)? ($($inner:tt)*): $c:ty;
    )* }) => {$(
        $(#[$attribute])*
        #[repr(transparent)]
        $visibility struct $name $(<$lifetime>)? ($($inner)*);

        // SAFETY: A transparent structure, and what is passed is as whoever declares it argues.
        unsafe impl $(<$lifetime>)? $crate::abi::Receive<$c> for $name $(<$lifetime>)? {}
    )*};
}

/// What a driver registered as its data, and gets back as a `void *`.
#[repr(transparent)]
pub struct Data<'a, T>(&'a T);

impl<T> Deref for Data<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.0
    }
}

// SAFETY: A transparent pointer; the C side passes what was registered.
unsafe impl<T> Receive<*mut c_void> for Data<'_, T> {}

// SAFETY: As above, or NULL.
unsafe impl<T> Receive<*mut c_void> for Option<Data<'_, T>> {}

/// As [`Data`], for what is passed to a function that returns when it has called back.
#[repr(transparent)]
pub struct DataMut<'a, T>(&'a mut T);

impl<T> Deref for DataMut<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.0
    }
}

impl<T> DerefMut for DataMut<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.0
    }
}

// SAFETY: A transparent pointer; the C side passes what was registered, in one call at a time.
unsafe impl<T> Receive<*mut c_void> for DataMut<'_, T> {}

/// Defines a function that makes a pointer for C's tables.
macro_rules! callback {
    ($name:ident: $($argument:ident $c:ident),*) => {
        /// A pointer for a C table to a function whose parameters have types of Rust.
        ///
        /// That C code passes what these types promise is argued where it is given the table.
        pub const fn $name<$($argument: Receive<$c>, $c,)* R>(
            function: extern "C" fn($($argument),*) -> R,
        ) -> unsafe extern "C" fn($($c),*) -> R {
            // SAFETY: Function pointers of one ABI, whose parameters are passed alike (`Receive`).
            unsafe { core::mem::transmute(function) }
        }
    };
}

callback!(callback1: A1 C1);
callback!(callback2: A1 C1, A2 C2);
callback!(callback3: A1 C1, A2 C2, A3 C3);
callback!(callback4: A1 C1, A2 C2, A3 C3, A4 C4);
callback!(callback5: A1 C1, A2 C2, A3 C3, A4 C4, A5 C5);
callback!(callback6: A1 C1, A2 C2, A3 C3, A4 C4, A5 C5, A6 C6);
callback!(callback7: A1 C1, A2 C2, A3 C3, A4 C4, A5 C5, A6 C6, A7 C7);

/// To be replaced by [`imports!`](crate::imports).
#[macro_export]
macro_rules! symbol_functions {
    (unsafe { $(
        $(#[$attribute:meta])*
        $visibility:vis struct $type:ident =
            fn $name:ident $(<$lifetime:lifetime>)? ($($argument:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;
    )* }) => {$(
        $(#[$attribute])*
        $visibility struct $type($crate::symbol::Symbol<$(for<$lifetime>)? extern "C" fn($($ty),*) $(-> $ret)?>);

        impl $type {
            /// The function, if a module with it is loaded.
            $visibility fn get() -> Option<Self> {
                // SAFETY: As whoever lists the function argues.
                unsafe { $crate::symbol::Symbol::get(::kernel::c_str!(stringify!($name))) }.map(Self)
            }

            /// Calls it.
            #[inline(always)]
            $visibility fn call $(<$lifetime>)? (&self, $($argument: $ty),*) $(-> $ret)? {
                self.0.function()($($argument),*)
            }
        }
    )*};
}
