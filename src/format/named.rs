//! Enums whose values have names: in the format, on the command line, and in events.
//!
//! A name is written once, beside its variant, and everything else follows from it. So a new variant cannot be missing from
//! the list of all values, from which flags, checks and metrics are made.

/// Declares an enum with a name for each variant, and derives from it a constant with all values, `name` and `Display`.
///
/// The constant is called as the word behind `in` says. Names are part of interfaces: of manifests, columns, flags or events.
/// Where the enum is also serialized, its `#[serde(rename_all)]` must give the same names.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        $vis:vis enum $type:ident in $all:ident {
            $($(#[$doc:meta])* $variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$meta])*
        $vis enum $type {
            $($(#[$doc])* $variant,)+
        }

        impl $type {
            /// Every value, in the order of the declaration.
            $vis const $all: [$type; [$($name),+].len()] = [$($type::$variant),+];

            /// Returns the name that users and other programs see.
            $vis fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(self.name())
            }
        }
    };
}

pub(crate) use named_enum;
