"""What tests stand on: a real gate process, a scripted upstream, the recordings."""
