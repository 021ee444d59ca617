"""What is kept on disk, in Kafka's own files."""
