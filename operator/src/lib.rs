//! The controllers of GenerationJob and ModelDeployment.
