// SPDX-License-Identifier: GPL-2.0

//! Functions that C code calls.
//!
//! C calls a *trampoline*: an `unsafe extern "C" fn` with the types of the C prototype, so that its
//! kCFI type identifier is that of the prototype. It converts the arguments and calls a safe
//! function. [`callbacks!`](crate::callbacks) makes trampolines for tables of function pointers,
//! [`exports!`](crate::exports) those that C code and other modules call by name.
//!
//! What a trampoline passes on is borrowed from a [`Call`] on its stack, so a safe function can
//! take `&'a Device` for every `'a`, and cannot take `&'static Device`: nothing that C lent for a
//! call can be kept.

use crate::bindings;
use crate::object::Object;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

/// One call of C code. What it brought is borrowed from this.
pub struct Call(PhantomData<*mut ()>);

impl Call {
    /// For trampolines.
    #[doc(hidden)]
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// A parameter of a safe function for which C code passes a `C`.
///
/// The documentation of a type that implements this says what has to be true of the `C`, beside
/// what is said here.
pub trait FromC<'call, C>: Sized {
    /// Takes over what C code passed.
    ///
    /// # Safety
    ///
    /// `c` is what C code passed in the place of this parameter: what the documentation of `Self`
    /// demands is true of it until `call` ends.
    unsafe fn from_c(c: C, call: &'call Call) -> Self;
}

/// Not NULL, and valid until the call ends.
impl<'call, C, T: Object<C>> FromC<'call, *mut C> for &'call T {
    #[inline(always)]
    unsafe fn from_c(c: *mut C, _call: &'call Call) -> Self {
        // SAFETY: As required of us, and an object is at the address of its structure.
        unsafe { &*c.cast() }
    }
}

/// As above.
impl<'call, C, T: Object<C>> FromC<'call, *const C> for &'call T {
    #[inline(always)]
    unsafe fn from_c(c: *const C, _call: &'call Call) -> Self {
        // SAFETY: As required of us, and an object is at the address of its structure.
        unsafe { &*c.cast() }
    }
}

/// NULL, which becomes `None`, or valid until the call ends.
impl<'call, C, T: Object<C>> FromC<'call, *mut C> for Option<&'call T> {
    #[inline(always)]
    unsafe fn from_c(c: *mut C, _call: &'call Call) -> Self {
        // SAFETY: As required of us, and an object is at the address of its structure.
        NonNull::new(c.cast()).map(|object| unsafe { object.as_ref() })
    }
}

/// Where the function leaves a result: not NULL, initialised, and nobody else's until the call
/// ends.
impl<'call, C: Plain> FromC<'call, *mut C> for &'call mut C {
    #[inline(always)]
    unsafe fn from_c(c: *mut C, _call: &'call Call) -> Self {
        // SAFETY: As required of us.
        unsafe { &mut *c }
    }
}

/// A number, of which nothing is demanded.
pub trait Plain: Copy {}

macro_rules! plain {
    ($($ty:ty),*) => {$(
        impl Plain for $ty {}

        impl FromC<'_, $ty> for $ty {
            #[inline(always)]
            unsafe fn from_c(c: $ty, _call: &Call) -> Self {
                c
            }
        }
    )*};
}

plain!(bool, u8, u16, u32, u64, usize, i32, i64, isize);
plain!(
    bindings::iommu_cap,
    bindings::vfio_group_type,
    bindings::mdev_domain_type
);

/// A pointer of which nothing is demanded: safe code does nothing with it but pass it on.
impl<C> FromC<'_, *mut C> for *mut C {
    #[inline(always)]
    unsafe fn from_c(c: *mut C, _call: &Call) -> Self {
        c
    }
}

/// As above.
impl<C> FromC<'_, *const C> for *const C {
    #[inline(always)]
    unsafe fn from_c(c: *const C, _call: &Call) -> Self {
        c
    }
}

/// Something that C code is given together with a pointer to data, which comes back in each
/// callback.
pub trait Registered {
    /// What the pointer leads to.
    type Data;
}

/// The data of a registration, in one of its callbacks: the pointer is what [`Data::cookie`] of the
/// same `R` made, of data that stays until the registration has ended.
pub struct Data<'call, R: Registered>(&'call R::Data);

impl<R: Registered> Data<'_, R> {
    /// The pointer to give to C code with the callbacks of `R`, and with no others.
    #[inline(always)]
    pub fn cookie(data: &R::Data) -> *mut c_void {
        core::ptr::from_ref(data).cast_mut().cast()
    }
}

impl<R: Registered> Deref for Data<'_, R> {
    type Target = R::Data;

    #[inline(always)]
    fn deref(&self) -> &R::Data {
        self.0
    }
}

impl<'call, R: Registered> FromC<'call, *mut c_void> for Data<'call, R> {
    #[inline(always)]
    unsafe fn from_c(c: *mut c_void, _call: &'call Call) -> Self {
        // SAFETY: As required of us.
        Self(unsafe { &*c.cast() })
    }
}

/// Makes trampolines in an `impl` block.
///
/// Each parameter is written as `name: C => Rust`, with the type of the C prototype and that of the
/// safe function behind `=`, which has to take a lifetime of any length. A trampoline is an
/// `unsafe fn`: its `# Safety` section says for which pointer of which C table it is, and why C
/// code passes there what the types to the right promise.
///
/// ```ignore
/// impl<T: PagingDomain> Table<T> {
///     linux::callbacks! {
///         /// `iommu_domain_ops::flush_iotlb_all`.
///         ///
///         /// # Safety
///         ///
///         /// For domains that `Domain::<T>::new` made, which the core passes to their operations.
///         unsafe fn flush_iotlb_all_callback(domain: *mut bindings::iommu_domain => &Domain<T>)
///             = Self::flush_iotlb_all;
///     }
/// }
/// ```
#[macro_export]
macro_rules! callbacks {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis unsafe fn $name:ident(
            $($argument:ident: $c:ty => $rust:ty),* $(,)?
        ) $(-> $ret:ty)? = $function:expr;
    )*) => {$(
        $(#[$attribute])*
        // What the caller wrote behind `=` is safe code, though it stands in an unsafe function.
        #[forbid(unsafe_op_in_unsafe_fn)]
        $visibility unsafe extern "C" fn $name($($argument: $c),*) $(-> $ret)? {
            let _call = $crate::callback::Call::new();
            $(
                let $argument: $rust =
                    // SAFETY: The caller keeps what the section `# Safety` of this function
                    // demands.
                    unsafe { $crate::callback::FromC::from_c($argument, &_call) };
            )*
            // A safe function, for every lifetime of what C code lends.
            let function: fn($($rust),*) $(-> $ret)? = $function;
            function($($argument),*)
        }
    )*};
}

/// Makes trampolines that C code finds by name, of the form of [`callbacks!`](crate::callbacks).
///
/// It compiles only if the types are those of the prototype that C code includes, as bindgen found
/// it.
#[macro_export]
macro_rules! exports {
    ($(
        $(#[$attribute:meta])*
        unsafe fn $name:ident(
            $($argument:ident: $c:ty => $rust:ty),* $(,)?
        ) $(-> $ret:ty)? = $function:expr;
    )*) => {$(
        // Both arms of an `if` are of one type: that of the prototype.
        const _: () = {
            if true {
                $crate::bindings::$name
            } else {
                $name
            };
        };

        $crate::callbacks! {
            $(#[$attribute])*
            #[no_mangle]
            pub(crate) unsafe fn $name($($argument: $c => $rust),*) $(-> $ret)? = $function;
        }
    )*};
}
