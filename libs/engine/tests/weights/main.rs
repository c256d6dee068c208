//! Model files as users have them: written by other tools, by the writers below, damaged and crafted.

mod bad_gguf;
mod bad_safetensors;
mod directories;
mod formats;
mod goldens;
mod mutations;
mod shards;
mod smollm2;
mod writer;
