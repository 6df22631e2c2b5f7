//! Where everything lies: the state directory and the run directories.
