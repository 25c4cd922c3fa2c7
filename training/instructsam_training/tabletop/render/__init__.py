"""Images, depth and labels of scenes, by MuJoCo."""
