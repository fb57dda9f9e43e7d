"""What every engine of the spool must do."""
