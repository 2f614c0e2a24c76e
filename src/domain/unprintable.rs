//! What holds a piece of a request or of an answer, or a secret, cannot be printed: it has no
//! `Debug`, no `Display` and no `Serialize`, so that no log line and no error can take it along.
//! The compiler refuses the program otherwise.

/// Does not compile for types that can be printed or serialised: the call is ambiguous as soon as
/// there is a second trait that has it.
macro_rules! unprintable {
    ($($held:ty),+ $(,)?) => {
        $(const _: fn() = || {
            trait Unprintable<Way> {
                fn stays() {}
            }
            impl<T: ?Sized> Unprintable<()> for T {}
            impl<T: ?Sized + std::fmt::Debug> Unprintable<u8> for T {}
            impl<T: ?Sized + std::fmt::Display> Unprintable<u16> for T {}
            impl<T: ?Sized + serde::Serialize> Unprintable<u32> for T {}
            <$held as Unprintable<_>>::stays();
        };)+
    };
}

pub(crate) use unprintable;
